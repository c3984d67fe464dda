"""The one check of every `--out`: a command writes to a new or an empty folder, or replaces what it wrote itself.

A folder is replaced only with `--overwrite`, and only if it holds nothing that lmcraft did not write.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.folder.layout import DatasetFolder, ModelFolder, is_document, is_model_file
from lmcraft.folder.lock import LOCK_NAME, lock_folder
from lmcraft.folder.names import ENERGY, FILE_SUFFIXES, LINEAGE, MANIFEST, SET_ASIDE, SKIPPED, SOURCE_FILES
from lmcraft.folder.recognition import (
    COMPARISON_FILES,
    TOKENIZER_FILES,
    compared_models,
    holds_examples,
    holds_tokens,
    is_tokenizer,
    is_whole_model,
    read_object,
)
from lmcraft.folder.writing import (
    atomic_write,
    finish_replacement,
    is_leftover,
    naming_file,
    new_folders,
    remove_leftovers,
    replace_folder,
)

Input = tuple[str, str | Path]  # a setting and the path that it names
# The files of `lmcraft/` that a run writes before its first checkpoint.
STARTED_RUN = (
    *("run.toml", "history.jsonl", "before.json", "reference-*.npy"),
    *("metrics.jsonl", "samples.jsonl", "skipped.jsonl", "range_test.html", "coordinate_check.html", "tensorboard"),
    "canaries.jsonl",
)
# The files of `lmcraft/` in a model folder that no run wrote.
MODEL_RECORDS = (
    *(LINEAGE, "quantization.json", "card.json", "report.html", "evaluations", "safety", "privacy_audit"),
    *("forgetting.json", "forgetting.html"),
)
DATASET_FILES = (
    *(MANIFEST, SKIPPED, SET_ASIDE, *TOKENIZER_FILES, "train-*.npy", "validation-*.npy"),
    *(LINEAGE, SOURCE_FILES, "stages.jsonl.gz", "duplicates.jsonl.gz", "croissant.json", "report.html", ENERGY),
)
EXPLANATION_TITLE = "Explanation:"  # begins the title of a page of lmcraft explain
MAX_TITLE_OFFSET = 2000  # bytes of the page that end after its title's beginning
MAX_GGUF_VERSION = 9  # bytes of a text would be a far higher number
LITTER = (".DS_Store", LOCK_NAME)  # neither the user's nor a result


@dataclass(frozen=True)
class Output:
    """A kind of output."""

    foreign: Callable[[Path], str]
    """Why a path is not such an output, or what else it holds, as part of a sentence; "" if it may be replaced."""
    is_file: bool = False


def check_output(
    out: Path, kind: Output, *, overwrite: bool, inputs: Iterable[Input] = (), sources: Iterable[Input] = ()
) -> None:
    """Check that writing to `out` loses nothing.

    Args:
        out: the destination.
        kind: what is written there.
        overwrite: replace what is there, if it is of the same kind.
        inputs: models and datasets, which must neither be replaced nor get new folders inside.
        sources: other files and folders that are read, which must not be replaced.

    Raises:
        UserError: it would; the message says what is there.
    """
    check_apart(out, inputs, sources, inside=kind.is_file)
    if not kind.is_file:
        check_folder_name(out)
    if not out.exists() or (not kind.is_file and is_empty(out)):
        _check_replaceable(out)
        return
    if not out.is_file() and not out.is_dir():
        raise UserError(
            f"out='{out}' is neither a file nor a folder, but a device, a pipe or a socket: choose another --out"
        )
    if kind.is_file == out.is_dir():
        raise UserError(
            f"out='{out}' is {'a folder, not a file' if kind.is_file else 'a file, not a folder'}: choose another --out"
        )
    if foreign := kind.foreign(out):
        raise UserError(f"out='{out}' {foreign}, so it is not overwritten: choose another --out")
    if not overwrite:
        raise UserError(f"out='{out}' already exists: add --overwrite to replace it, or choose another --out")
    _check_replaceable(out)


def check_apart(out: Path, inputs: Iterable[Input], sources: Iterable[Input] = (), *, inside: bool = False) -> None:
    """Check that `out` is neither an input nor holds one, nor, unless `inside` allows it, lies in one.

    Paths are compared as the file system sees them: through links, `..`, and other spellings.

    Raises:
        UserError: it is or does.
    """
    for name, value in (*inputs, *sources):
        path = Path(str(value).removeprefix("gguf:"))
        if _is_same(out, path):
            raise UserError(f"out='{out}' is the {name} itself: choose another --out")
        if _is_within(path, out):
            raise UserError(f"out='{out}' holds the {name} '{value}': choose another --out")
    for name, value in inputs:
        if not inside and Path(value).is_dir() and _is_within(out, Path(value)):
            raise UserError(f"out='{out}' lies inside the {name} '{value}': choose another --out")


def check_folder_name(out: Path) -> None:
    """Raise UserError if a new folder would have the name of a file."""
    if out.suffix.lower() in FILE_SUFFIXES and not out.exists():
        raise UserError(f"out='{out}' is the name of a file, but a folder is written: leave out '{out.suffix}'")


def _is_within(path: Path, folder: Path) -> bool:
    real = Path(os.path.realpath(path))
    return any(_is_same(parent, folder) for parent in real.parents)


def _is_same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:  # one of them does not exist
        return False


def is_empty(path: Path) -> bool:
    """Whether a path is a folder with nothing in it."""
    return path.is_dir() and not _entries(path)


def _entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not _matches(path.name, LITTER) and not is_leftover(path))


def _check_replaceable(out: Path) -> None:
    """A new folder takes the place of an empty one by a rename, which two folders do not allow."""
    if out.is_dir() and (_is_same(out, Path()) or _is_within(Path(), out)):
        raise UserError(f"out='{out}' is or holds the current folder, which cannot be replaced: choose a folder in it")
    real = Path(os.path.realpath(out))
    if real.is_symlink():
        raise UserError(f"out='{out}' is a link that leads back to itself: remove it, or choose another --out")
    if real.is_dir() and real.is_mount():
        raise UserError(f"out='{out}' is a mount point, which cannot be replaced: choose a folder in it")
    if real.is_dir() and not os.access(real, os.W_OK):  # to move a folder is to change its entry `..`
        raise UserError(f"out='{out}' is write-protected: change its permissions, or choose another --out")


# What each kind of folder holds


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _name_foreign(folder: Path, is_own: Callable[[str], bool], kind: str) -> str:
    """The first entry that does not belong to a folder of a kind, as part of a sentence; "" if all do."""
    foreign = next((name for name in _entries(folder) if not is_own(name)), None)
    return f"holds '{foreign}', which does not belong to {kind}" if foreign else ""


def _foreign_to_dataset(folder: Path) -> str:
    manifest = read_object(DatasetFolder(folder).manifest_file)
    if holds_tokens(manifest):
        return _name_foreign(folder, lambda name: _matches(name, DATASET_FILES), "a dataset")
    if holds_examples(manifest):
        return _name_foreign(folder, lambda name: name in (MANIFEST, LINEAGE) or name in manifest["files"], "a dataset")
    return "is not a dataset folder"


def _foreign_to_model(folder: Path) -> str:
    if is_run(folder):
        return "holds a run"
    if not is_whole_model(folder):
        return "is not a model folder"
    record = ModelFolder(folder).run
    if record.is_dir() and (foreign := _name_foreign(record, lambda name: _matches(name, MODEL_RECORDS), "a model")):
        return foreign.replace("holds '", f"holds '{record.name}/", 1)
    return _name_foreign_in_model(folder)


def _name_foreign_in_model(folder: Path) -> str:
    return _name_foreign(folder, lambda name: is_model_file(name) or name == ModelFolder(folder).run.name, "a model")


def _foreign_to_tokenizer(folder: Path) -> str:
    if not is_tokenizer(folder):
        return "is not a tokenizer folder"
    return _name_foreign(folder, TOKENIZER_FILES.__contains__, "a tokenizer")


def _foreign_to_quickstart(folder: Path) -> str:
    """A quickstart holds a dataset and runs."""
    for name in _entries(folder):
        part = folder / name
        if not part.is_dir():
            return f"holds '{name}', which does not belong to a quickstart"
        if _is_started_run(part):
            continue
        if foreign := _name_foreign_in_model(part) if is_run(part) else _foreign_to_dataset(part):
            return f"holds '{name}', which {foreign}"
    return ""


def _foreign_to_comparison(folder: Path) -> str:
    if compared_models(folder) is None:
        return "is not the folder of a comparison"
    return _name_foreign(folder, COMPARISON_FILES.__contains__, "a comparison")


def _foreign_to_gguf(file: Path) -> str:
    with file.open("rb") as handle:
        magic, version = handle.read(4), int.from_bytes(handle.read(4), "little")
        return "" if magic == b"GGUF" and 0 < version <= MAX_GGUF_VERSION else "is not a GGUF file"


def _foreign_to_explanation(file: Path) -> str:
    with file.open("rb") as handle:
        is_page = f"<title>{EXPLANATION_TITLE} ".encode() in handle.read(MAX_TITLE_OFFSET)
        return "" if is_page else "is not a page of lmcraft explain"


DATASET = Output(_foreign_to_dataset)
MODEL = Output(_foreign_to_model)
TOKENIZER = Output(_foreign_to_tokenizer)
QUICKSTART = Output(_foreign_to_quickstart)
COMPARISON = Output(_foreign_to_comparison)
KEY_DATA = Output(lambda path: "is there already")
GGUF = Output(_foreign_to_gguf, is_file=True)
EXPLANATION = Output(_foreign_to_explanation, is_file=True)


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run that has a checkpoint or a result."""
    run = ModelFolder(folder)
    return (run.config_toml.is_file() or run.checkpoints.is_dir()) and not _is_started_run(folder)


def _is_started_run(folder: Path) -> bool:
    """Whether a folder is empty, or holds only what a run writes before its first checkpoint."""
    run = ModelFolder(folder)
    if _entries(folder) not in ([], [run.run.name]):
        return False
    names = _entries(run.run) if run.run.is_dir() else []
    if _holds_checkpoints(run):
        return False
    return all(_matches(name, (*STARTED_RUN, run.checkpoints.name)) for name in names)


def _holds_checkpoints(run: ModelFolder) -> bool:
    """Whether there is a checkpoint that was written to its end."""
    return run.checkpoints.is_dir() and any(not name.startswith(".") for name in _entries(run.checkpoints))


def check_saved_model(folder: Path) -> None:
    """Check that writing the files of a model into `folder` replaces nothing but those of another model.

    Raises:
        UserError: it would, or the path is not that of a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"'{folder}' is not a folder, and a model is one: choose another path")
    if folder.suffix.lower() in FILE_SUFFIXES and not folder.exists():
        raise UserError(f"'{folder}' is the name of a file, and a model is a folder: leave out '{folder.suffix}'")
    if not folder.exists() or is_empty(folder):
        return
    kind = "dataset" if DatasetFolder(folder).manifest_file.exists() else "run" if is_run(folder) else ""
    if kind:
        raise UserError(f"'{folder}' holds a {kind}, so no model is written there: choose another folder")
    if not (folder / "config.json").is_file() or not is_whole_model(folder):
        raise UserError(f"'{folder}' is neither empty nor a model folder, so no model is written there: choose another one")


# Claiming an output


@contextmanager
def replace_output(
    out: Path, kind: Output, *, overwrite: bool, inputs: Iterable[Input] = (), sources: Iterable[Input] = ()
) -> Iterator[Path]:
    """Check and lock `out`, and yield a temporary path, which takes its place at the end; arguments as in `check_output`.

    Raises:
        UserError: something would be lost, or another process is writing to `out`.
    """
    inputs, sources = list(inputs), list(sources)
    finish_replacement(out, complete=True)
    check_output(out, kind, overwrite=overwrite, inputs=inputs, sources=sources)
    with atomic_write(out, wait=False) as temporary:
        check_output(out, kind, overwrite=overwrite, inputs=inputs, sources=sources)  # another process may have ended
        yield temporary
        _keep_documents(out, temporary)


def _keep_documents(old: Path, new: Path) -> None:
    """Copy the documents of a folder that is replaced, which may be the user's, unless the new one has its own."""
    for name in _entries(old) if old.is_dir() and new.is_dir() else []:
        if is_document(name) and not (new / name).exists():
            shutil.copy2(old / name, new / name)


@contextmanager
def replace_in_place(
    out: Path, kind: Output, *, overwrite: bool, last_file: Path, sources: Iterable[Input] = ()
) -> Iterator[None]:
    """The same for a folder that is written where it stays: what was there is put back if the block fails, or was killed.

    Args:
        out: the destination.
        kind: what is written there.
        overwrite: replace what is there.
        last_file: the last file that the block writes, relative to `out`; with it, the folder is complete.
        sources: files and folders that must not be replaced.
    """
    sources = list(sources)
    finish_replacement(out, complete=(out / last_file).is_file())
    check_output(out, kind, overwrite=overwrite, sources=sources)
    with replace_folder(out):
        yield


@contextmanager
def claim_run(out: Path, *, resume: bool, inputs: Iterable[Input] = ()) -> Iterator[None]:
    """Check and lock the folder of a run, which writes in place; created if needed, and removed if it stays empty.

    Raises:
        UserError: the folder holds anything but this run, or another process is writing there.
    """
    inputs = list(inputs)

    def check() -> None:
        check_apart(out, inputs)
        if out.exists() and not out.is_dir():
            raise UserError(f"out='{out}' is a file, not a folder: choose another --out")
        check_folder_name(out)
        if not out.exists() or _is_started_run(out):
            return
        if not is_run(out):
            raise UserError(f"out='{out}' is not empty, and holds no run: choose another --out")
        if not resume:
            if _holds_checkpoints(ModelFolder(out)):
                raise UserError(f"out='{out}' already holds a run: add --resume to continue it, or choose another --out")
            raise UserError(f"out='{out}' holds a run without checkpoints, which cannot continue: choose another --out")

    run = ModelFolder(out)
    with claim_folder(out, check):
        for folder in (out, run.run, run.checkpoints, run.snapshots):
            remove_leftovers(folder)
        yield


@contextmanager
def claim_folder(out: Path, check: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a folder that is written in place, after `check` allows it."""
    check()
    folder = Path(os.path.realpath(out))
    with naming_file(out), ExitStack() as stack:
        try:
            stack.enter_context(new_folders(folder))
            stack.enter_context(lock_folder(folder, wait=False))
        except OSError as error:
            error.filename = str(out)
            raise
        except UserError as error:
            error.args = (str(error).replace(str(folder), str(out)),)
            raise
        check()
        yield
