"""Which files of a repository or a package make a model folder. Never a pickle: opening one runs code."""

import json
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase

from lmcraft.errors import RunError, UserError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

_DESCRIBING = (
    CONFIG,
    "generation_config.json",
    INDEX,
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "adapter_config.json",
    "README.md",
    "LICENSE*",
    "NOTICE*",
)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def model_files(files: Collection[str], read_index: Callable[[], str], model: str) -> list[str]:
    """The files of a model folder, the small ones first: where its weights are, everything else is too.

    Of weights, only those that a loader would open: a repository may hold them twice, in a second format.

    Args:
        files: every file there is, by its path with slashes.
        read_index: gives the text of model.safetensors.index.json.
        model: its address, for errors.

    Raises:
        UserError: there are no weights in safetensors; says what there is, and the way out.
        RunError: the index is damaged or names what is not there.
    """
    top = [f for f in files if "/" not in f]
    weights = _weights(top, read_index, model)
    if not weights:
        raise UserError(f"{model} {_what_there_is(files, model)}")
    if CONFIG not in top and "adapter_config.json" not in top:
        raise UserError(f"{model} has no {CONFIG}, which says what its weights are: it is not a language model's folder")
    return sorted(f for f in top if _matches(f, _DESCRIBING)) + weights


def _weights(top: Collection[str], read_index: Callable[[], str], model: str) -> list[str]:
    if WEIGHTS in top:
        return [WEIGHTS]
    if INDEX in top:
        return _shards(top, read_index(), model)
    return sorted(f for f in top if f.endswith(".safetensors"))


def _what_there_is(files: Collection[str], model: str) -> str:
    if ggufs := [f for f in files if f.endswith(".gguf")]:
        return f"holds GGUF files and no safetensors: name one of them, as in {model}/{plainest(ggufs)}"
    if any(_matches(f, _PICKLES) for f in files):
        return (
            "holds only pickled weights, which can run code when they are opened and are never fetched: take a revision "
            "with safetensors if it has one (such as @refs/pr/1), or convert them with transformers' save_pretrained"
        )
    return "holds neither weights in safetensors nor a GGUF file: it is not a language model that can be opened"


def plainest(paths: Collection[str]) -> str:
    """The one to show as an example."""
    return min(paths, key=lambda path: (path.count("/"), len(path), path))


def _shards(top: Collection[str], index: str, model: str) -> list[str]:
    try:
        names = set(json.loads(index)["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{INDEX} of {model} is no index of shards: its publisher has to mend it") from error
    if missing := sorted(str(name) for name in names if name not in top):
        raise RunError(f"{INDEX} of {model} names '{missing[0]}', which is not there: its publisher has to mend it")
    if not names or not all(name.endswith(".safetensors") for name in names):
        raise RunError(f"{INDEX} of {model} names files that are not safetensors: its publisher has to mend it")
    return sorted(names)


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)
