"""The language model of a checkpoint, without the other parts of multimodal models and without layers that only predict
further tokens.

A multimodal config.json describes the language model under `text_config`, and the checkpoint's names of its tensors have a
prefix.
"""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from lmcraft.model.checkpoint import Checkpoint

log = logging.getLogger(__name__)

# The model type of the language part, if its settings do not name it.
LANGUAGE_PARTS = {
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
    "llama4": "llama4_text",
    "llava": "llama",
    "mistral3": "mistral",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_vl": "qwen3",
}
# Language parts that are another model type as long as there are no images.
SAME_WITHOUT_IMAGES = {"qwen3_vl_text": "qwen3"}
# Keys that count for the language part although they may stand beside it.
SHARED_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id", "dtype", "torch_dtype", "quantization_config")
PREFIXES = (
    (re.compile(r"language_model\.(model|lm_head)\."), r"\1."),
    (re.compile(r"model\.language_model\."), "model."),
)
LAYER = re.compile(r"model\.layers\.(\d+)\.")
PREDICTION = "layers for multi-token prediction"


def language_model(checkpoint: Checkpoint) -> Checkpoint:
    """The language model of a checkpoint, under the names of a text model, with a warning that names what is left out."""
    names, hf_config, left_out = {name: name for name in checkpoint.names}, checkpoint.hf_config, []
    if _is_multimodal(hf_config):
        names = language_names(checkpoint.names)
        hf_config = language_config(hf_config, names)
        left_out = [describe_parts(checkpoint.names - set(names.values()))]
    if further := prediction_names(hf_config, names):
        names = {ours: theirs for ours, theirs in names.items() if ours not in further}
        left_out.append(f"{PREDICTION} ({len(further)} tensors)")
    if hf_config is checkpoint.hf_config and not left_out:
        return checkpoint
    if any(left_out):
        _warn_of_parts_left_out(checkpoint.source, ", ".join(filter(None, left_out)))
    return replace(
        checkpoint,
        hf_config=hf_config,
        names=frozenset(names),
        read=lambda name: checkpoint.read(names[name]),
        aliases={ours: (theirs, _name_in_memory(ours)) for ours, theirs in names.items() if ours != theirs},
    )


@cache
def _warn_of_parts_left_out(source: str, parts: str) -> None:
    log.warning("'%s': only the language model is opened; left out: %s", source, parts)


def _is_multimodal(hf_config: Mapping[str, Any]) -> bool:
    model_type = hf_config.get("model_type")
    is_known = isinstance(model_type, str) and model_type in LANGUAGE_PARTS
    return is_known and isinstance(hf_config.get("text_config"), Mapping)


def language_config(hf_config: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
    """The settings of the language model, as the config.json of a text model has them.

    Args:
        hf_config: a config.json, perhaps multimodal.
        names: those of the language model's tensors, as `language_names` has them.
    """
    if not _is_multimodal(hf_config):
        return hf_config
    text = dict(hf_config["text_config"])
    model_type = text.get("model_type") or LANGUAGE_PARTS[hf_config["model_type"]]
    declared = {config.get("tie_word_embeddings") for config in (hf_config, text)}
    is_untied = "lm_head.weight" in names or declared in ({False}, {False, None})
    shared = {key: hf_config[key] for key in SHARED_KEYS if hf_config.get(key) is not None}
    return {
        **shared,
        **text,
        "model_type": SAME_WITHOUT_IMAGES.get(model_type, model_type),
        "tie_word_embeddings": not is_untied,
    }


def language_names(names: Iterable[str]) -> dict[str, str]:
    """The names of the language part's tensors: those of a text model, and those in a multimodal checkpoint."""
    result = {}
    for name in names:
        for pattern, prefix in PREFIXES:
            if match := pattern.match(name):
                result[match.expand(prefix) + name[match.end() :]] = name
        if name.startswith("lm_head."):
            result[name] = name
    return result


def _name_in_memory(name: str) -> str:
    """The name that transformers' multimodal model has for a tensor of the language model."""
    return re.sub(r"^model\.", "model.language_model.", name)


def prediction_names(hf_config: Mapping[str, Any], names: Iterable[str]) -> set[str]:
    """The tensors of layers after the last one, which only predict further tokens (DeepSeek-V3, arXiv 2412.19437, section
    2.2)."""
    layers, further = (hf_config.get(key) for key in ("num_hidden_layers", "num_nextn_predict_layers"))
    numbers = range(layers, layers + further) if isinstance(layers, int) and isinstance(further, int) else range(0)
    matches = {name: LAYER.match(name) for name in names}
    return {name for name, match in matches.items() if name.startswith("mtp.") or (match and int(match[1]) in numbers)}


def describe_parts(names: Iterable[str]) -> str:
    """The parts of a model that tensors belong to, and how many tensors each has."""
    parts = Counter(name.removeprefix("model.").partition(".")[0] for name in names)
    return ", ".join(f"{part} ({count} tensors)" for part, count in sorted(parts.items()))
