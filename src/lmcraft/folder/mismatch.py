"""Errors for a path that holds nothing, or something else than a command needs: they say what it holds, and what to do."""

import errno
import stat
import tomllib
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Literal

from lmcraft.errors import UserError
from lmcraft.folder.names import CHECKPOINTS, MANIFEST, MODEL_CONFIGS, RUN, RUN_CONFIG
from lmcraft.text_file import read_text

Expected = Literal["model", "dataset", "classifier", "run"]
NAMES: dict[Expected, str] = {
    "model": "a model folder",
    "dataset": "a dataset folder",
    "classifier": "a classifier",
    "run": "a training run",
}
MAX_MATCHES_LISTED = 3
MAX_ENTRIES_READ = 1000  # of a folder, in search of models
LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # how the file begins that Git LFS leaves in place of another
WEB_PAGES = (b"<!doctype html", b"<html")


def missing_path_error(path: Path) -> UserError:
    """The error for a path without a file or folder: it names the first folder that is missing, or a name like it."""
    if reason := _explain_irregular(path):
        return UserError(f"'{path}' {reason}")
    missing = path
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    where = f" (there is no folder '{missing}')" if missing != path else ""
    siblings = [] if where or not path.parent.is_dir() else [entry.name for entry in _entries(path.parent)]
    near = get_close_matches(path.name, siblings, n=1, cutoff=0.75)
    remedy = f"is it '{path.parent / near[0]}'?" if near else "check the path"
    return UserError(f"'{path}' does not exist{where}: {remedy}")


def has_file(path: Path) -> bool:
    """Whether a file of a model folder is there.

    Raises:
        UserError: something else is there, such as a link to nothing, or what a download leaves in place of the file.
    """
    if path.is_dir():
        raise UserError(f"'{path}' is a folder, not a file: put the file there")
    if reason := _explain_irregular(path):
        raise UserError(f"'{path}' {reason}")
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(len(LFS_POINTER)).lstrip().lower()
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror or error}); check that it is a readable file") from error
    if head.startswith(LFS_POINTER):
        raise UserError(f"'{path}' is a Git LFS pointer, not the file itself: get it with `git lfs pull`")
    if head.startswith(WEB_PAGES):
        raise UserError(f"'{path}' is a web page, not a file of a model: download it again")
    return True


def _explain_irregular(path: Path) -> str:
    """What is there instead of a file or a folder, as the rest of a sentence; empty if nothing else is."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "cannot be reached, since links form a circle: correct them"
        if not path.is_symlink():
            return ""
        return f"is a link to '{path.readlink()}', which does not exist: correct the link, or put the file there"
    except ValueError:  # a NUL in its name, as no file has
        return ""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    kind = kinds.get(stat.S_IFMT(mode))
    return f"is {kind}, not a file or a folder: choose another path, or put the file there" if kind else ""


def mismatch_error(path: Path, expected: Expected) -> UserError:
    """The error for a path that is not the folder that a command needs."""
    if not path.is_file() and not path.is_dir():
        return missing_path_error(path)
    for file in (path / name for name in (*MODEL_CONFIGS, MANIFEST)):
        if reason := _explain_irregular(file):  # it does not show what the folder holds
            return UserError(f"'{file}' {reason}")
    content, remedy = _describe(path, expected)
    difference = f"'{path}' is {content}, not {NAMES[expected]}" if content else f"'{path}' is not {NAMES[expected]}"
    return UserError(f"{difference}: {remedy}")


def _describe(path: Path, expected: Expected) -> tuple[str, str]:
    """What a path holds, empty if that has no name, and the remedy."""
    make = {
        "model": "it has no config.json; `lmcraft pull` downloads a model, and `lmcraft pretrain` trains one",
        "dataset": f"make one with `lmcraft prepare {path} --out DATASET`",
        "classifier": "train one with `lmcraft finetune MODEL DATA --objective classification`",
        "run": "name the --out of a `lmcraft pretrain` or `lmcraft finetune`",
    }[expected]
    if path.is_file():
        return "a file", make
    if not _entries(path):
        return "an empty folder", make.replace(str(path), "TEXT")
    if _is_dataset(path):
        return "a dataset folder", f"train a model on it with `lmcraft pretrain {path}`" if expected == "model" else make
    if is_model_folder(path):
        return "a model folder", "make a dataset with `lmcraft prepare TEXT`" if expected == "dataset" else make
    if (path / RUN / CHECKPOINTS).is_dir():
        config = path / RUN / RUN_CONFIG
        return "a run that has not finished", f"continue it with `lmcraft {_command(config)} {config} --resume`"
    snapshots = [entry for entry in _entries(path / "snapshots") if is_model_folder(entry)]
    if snapshots and expected == "model":
        return "a folder of the Hugging Face cache", f"open the snapshot in it, '{snapshots[0]}'"
    matches = [entry for entry in _entries(path) if (_is_dataset if expected == "dataset" else is_model_folder)(entry)]
    if not matches:
        return "", make
    names = ", ".join(f"'{match}'" for match in matches[:MAX_MATCHES_LISTED])
    remedy = f"choose one of them, such as {names}"
    if expected == "model":
        remedy += f"; `lmcraft serve --model-root {path}` serves all of them"
    return f"a folder of {'datasets' if expected == 'dataset' else 'models'}", remedy


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a model or an adapter."""
    return any((path / name).is_file() for name in MODEL_CONFIGS)


def _is_dataset(path: Path) -> bool:
    return (path / MANIFEST).is_file()


def _command(run_config: Path) -> str:
    """The command that wrote a run's configuration."""
    try:
        return "finetune" if "objective" in tomllib.loads(read_text(run_config)) else "pretrain"
    except (OSError, ValueError):
        return "pretrain"


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(islice(folder.iterdir(), MAX_ENTRIES_READ))
    except OSError:
        return []
