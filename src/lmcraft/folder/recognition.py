"""What a folder holds, recognized by its files: a dataset, a run, a model, a tokenizer, a scaling family or a comparison."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lmcraft.folder.names import CHECKPOINTS, FAMILY_CONFIG, FAMILY_RUNS, MANIFEST, MODEL_CONFIGS, RUN, RUN_CONFIG
from lmcraft.json_lines import parse_json

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
COMPARISON_FILES = ("comparison.json", "comparison.html")


def name_product(folder: Path) -> str:
    """What lmcraft or another program that trains models wrote in a folder, such as "a dataset"; else ""."""
    manifest = read_object(folder / MANIFEST)
    if holds_tokens(manifest) or holds_examples(manifest):
        return "a dataset"
    if (folder / RUN / RUN_CONFIG).is_file() or (folder / RUN / CHECKPOINTS).is_dir():
        return "a run"
    if is_whole_model(folder):
        return "a model"
    if is_tokenizer(folder) and _holds_only(folder, TOKENIZER_FILES):
        return "a tokenizer"
    if (folder / FAMILY_CONFIG).is_file() and (folder / FAMILY_RUNS).is_dir():
        return "a scaling family"
    is_comparison = compared_models(folder) is not None and _holds_only(folder, COMPARISON_FILES)
    return "a comparison" if is_comparison else ""


def _holds_only(folder: Path, names: Collection[str]) -> bool:
    return all(path.name in names or path.name.startswith(".") for path in folder.iterdir())


def holds_tokens(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest is that of a dataset of tokens."""
    return isinstance(manifest.get("splits"), dict) and "vocab_size" in manifest


def holds_examples(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest is that of a dataset of examples."""
    return manifest.get("kind") == "examples" and isinstance(manifest.get("files"), dict)


def is_whole_model(folder: Path) -> bool:
    """Whether a folder has weights and the configuration of a model or adapter. Other programs have a config.json, too."""
    config, adapter = (read_object(folder / name) for name in MODEL_CONFIGS)
    is_described = "model_type" in config or "architectures" in config or "peft_type" in adapter
    return is_described and any(folder.glob("*.safetensors"))


def is_tokenizer(folder: Path) -> bool:
    """Whether a folder has the file of a tokenizer."""
    model = read_object(folder / "tokenizer.json").get("model")
    return isinstance(model, dict) and "vocab" in model


def compared_models(folder: Path) -> set[str] | None:
    """The hashes of the models whose comparison a folder holds; None if it holds none."""
    models = read_object(folder / "comparison.json").get("models")
    if not isinstance(models, list):
        return None
    return {str(model.get("hash")) for model in models if isinstance(model, dict)}


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one if there is none."""
    try:
        value = parse_json(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
