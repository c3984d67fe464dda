"""Select the files of a repository or package that make up a model folder; never pickles, because opening one runs code."""

import json
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase

from lmcraft.errors import RunError, UserError
from lmcraft.folder import MODEL_FILES

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
NESTED_FILES = ("additional_chat_templates/*.jinja", "1_Pooling/config.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def model_files(files: Collection[str], read_index: Callable[[], str], model: str) -> list[str]:
    """The files to download for a model folder, weights last, so that a folder with weights is complete.

    Only the weights that a loader would open: repositories may contain a second copy in another format.

    Args:
        files: paths of all files, with slashes.
        read_index: returns the text of model.safetensors.index.json.
        model: address of the model, for errors.

    Raises:
        UserError: there are no safetensors weights; the message names what is there and the remedy.
        RunError: the index is damaged or names missing files.
    """
    top = [f for f in files if "/" not in f]
    weights = _weights(top, read_index, model)
    if not weights:
        raise UserError(f"{model} {_missing_weights_reason(files, model)}")
    if CONFIG not in top and "adapter_config.json" not in top:
        raise UserError(f"{model} is not a language model: it has no {CONFIG}")
    nested = [f for f in files if f.count("/") == 1 and _matches(f, NESTED_FILES)]
    return sorted(nested + [f for f in top if _matches(f, MODEL_FILES)]) + weights


def _weights(top: Collection[str], read_index: Callable[[], str], model: str) -> list[str]:
    if WEIGHTS in top:
        return [WEIGHTS]
    if INDEX in top:
        return _shards(top, read_index(), model)
    return sorted(f for f in top if f.endswith(".safetensors"))


def _missing_weights_reason(files: Collection[str], model: str) -> str:
    if ggufs := [f for f in files if f.endswith(".gguf")]:
        return f"has GGUF files and no safetensors; name one of them, as in {model}/{simplest_path(ggufs)}"
    if any(_matches(f, _PICKLES) for f in files):
        return (
            "has only pickled weights, which can run code when opened and are never downloaded; use a revision with "
            "safetensors if there is one (such as @refs/pr/1), or convert them with transformers' save_pretrained"
        )
    return "is not a language model that can be opened: it has neither safetensors weights nor a GGUF file"


def simplest_path(paths: Collection[str]) -> str:
    """The simplest path, to show as an example."""
    return min(paths, key=lambda path: (path.count("/"), len(path), path))


def _shards(top: Collection[str], index: str, model: str) -> list[str]:
    try:
        names = set(json.loads(index)["weight_map"].values())
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{INDEX} of {model} is not an index of shards; only its publisher can fix it") from error
    if missing := sorted(str(name) for name in names if name not in top):
        raise RunError(f"{INDEX} of {model} names '{missing[0]}', which is missing; only its publisher can fix it")
    if not names or not all(name.endswith(".safetensors") for name in names):
        raise RunError(f"{INDEX} of {model} names files that are not safetensors; only its publisher can fix it")
    return sorted(names)


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)
