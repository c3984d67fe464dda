"""Errors for a path that holds nothing, or something else than a command needs: they say what it holds, and what to do."""

import tomllib
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Literal

from lmcraft.errors import UserError
from lmcraft.folder.names import CHECKPOINTS, MANIFEST, MODEL_CONFIGS, RUN, RUN_CONFIG

Expected = Literal["model", "dataset", "classifier", "run"]
NAMES: dict[Expected, str] = {
    "model": "a model folder",
    "dataset": "a dataset folder",
    "classifier": "a classifier",
    "run": "a training run",
}
MAX_MATCHES_LISTED = 3
MAX_ENTRIES_READ = 1000  # of a folder, in search of models


def missing_path_error(path: Path) -> UserError:
    """The error for a path where nothing is. It names the first folder that is missing, or the nearest name beside it."""
    missing = path
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    where = f" (there is no folder '{missing}')" if missing != path else ""
    siblings = [] if where or not path.parent.is_dir() else [entry.name for entry in _entries(path.parent)]
    near = get_close_matches(path.name, siblings, n=1, cutoff=0.75)
    remedy = f"is it '{path.parent / near[0]}'?" if near else "check the path"
    return UserError(f"'{path}' does not exist{where}: {remedy}")


def check_regular(path: Path) -> None:
    """Raise UserError if something is there that is neither a file nor a folder."""
    if path.exists() and not path.is_file() and not path.is_dir():
        kind = "a named pipe" if path.is_fifo() else "a socket" if path.is_socket() else "a device"
        raise UserError(f"'{path}' is {kind}, not a file: put the file there")


def mismatch_error(path: Path, expected: Expected) -> UserError:
    """The error for a path that is not the folder that a command needs."""
    if not path.exists():
        return missing_path_error(path)
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
        return "finetune" if "objective" in tomllib.loads(run_config.read_text(encoding="utf-8")) else "pretrain"
    except (OSError, ValueError):
        return "pretrain"


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(islice(folder.iterdir(), MAX_ENTRIES_READ))
    except OSError:
        return []
