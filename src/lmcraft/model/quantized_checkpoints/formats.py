"""Which matrices of a checkpoint are quantized, by the quantization_config of its config.json."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder import has_file, read_json
from lmcraft.model.quantized_checkpoints import awq, bitnet, bitsandbytes, compressed_tensors, float4, float8, gptq
from lmcraft.model.quantized_checkpoints.stored_matrix import Names, Settings, StoredMatrix
from lmcraft.model.quantized_matrix import QUANT_METHOD

Find = Callable[[Settings, Names], Mapping[str, StoredMatrix]]
FINDERS: Mapping[str, Find] = {
    "gptq": gptq.find,
    "awq": awq.find,
    "fp8": float8.find,
    "fbgemm_fp8": float8.find,
    "mxfp4": float4.find_mxfp4,
    "modelopt": float4.find_modelopt,
    "bitsandbytes": bitsandbytes.find,
    "bitnet": bitnet.find,
}
# Files of early checkpoints whose config.json does not say how they are quantized, and the library that writes them.
SETTINGS_FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq", "hf_quant_config.json": "modelopt"}
KEYS = ("quantization_config", "compression_config")
# Tensors that only quantized matrices have.
OF_MATRICES = re.compile(r".*(\.(qweight|qzeros|SCB|absmax|weight_packed|weight_scale|weight_scale_inv)|_blocks|_scales)")
# Scales of activations, keys and values, which stay as they are.
OF_ACTIVATIONS = re.compile(
    r".*(\.(input|output|activation|[qkv])_(scale|zero_point|global_scale|g_idx)|\.input_scale_ub|\.[kv]_proj\.[kv]_scale)"
)


def quantization_settings(hf_config: Mapping[str, Any]) -> Settings | None:
    """The quantization_config of a config.json; None if it has none.

    Raises:
        UserError: it is not a table.
    """
    settings = next((hf_config[key] for key in KEYS if hf_config.get(key)), None)
    if settings is None or isinstance(settings, Mapping):
        return settings
    raise UserError(f"config.json: quantization_config {str(settings)[:40]!r} is not a table of settings")


def with_settings_file(hf_config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A config.json with the quantization_config that early checkpoints keep in a file of its own.

    Raises:
        UserError: the file is damaged.
    """
    method, file = next(((m, folder / name) for name, m in SETTINGS_FILES.items() if has_file(folder / name)), ("", folder))
    if not method or any(hf_config.get(key) for key in KEYS):
        return hf_config
    return {**hf_config, "quantization_config": {"quant_method": method, **read_json(file)}}


def quantization_method(settings: Settings) -> str:
    """The library or format that wrote a quantized checkpoint."""
    method = settings.get("quant_method") or (
        "bitsandbytes" if "load_in_8bit" in settings or "load_in_4bit" in settings else ""
    )
    layout = str(settings.get("packing_format") or "")
    return layout.rpartition("auto_")[2] if method == "auto-round" and layout.startswith("auto_round:auto_") else str(method)


def quantized_matrices(
    hf_config: Mapping[str, Any], names: Names, aliases: Mapping[str, Sequence[str]] | None = None
) -> Mapping[str, StoredMatrix] | None:
    """The quantized matrices of a checkpoint, by the names of their weights; None if it is not quantized.

    Args:
        hf_config: the contents of config.json.
        names: of the checkpoint's tensors.
        aliases: the names by which config.json knows tensors that have others here.

    Raises:
        UserError: the format is not supported, or its settings are damaged.
    """
    settings = quantization_settings(hf_config)
    if settings is None:
        return None
    method = quantization_method(settings)
    finders: Mapping[str, Find] = {QUANT_METHOD: partial(compressed_tensors.find, aliases=aliases or {}), **FINDERS}
    find = finders.get(method)
    if find is None:
        raise UserError(
            f"config.json: quantization_config with quant_method={method[:40]!r} is not supported; supported: "
            f"{', '.join(finders)}; use one of these, the unquantized model or a GGUF file"
        )
    try:
        return find(settings, names)
    except ValueError as error:
        raise UserError(
            f"config.json: quantization_config of {method} with {error} is not supported; use another quantization of "
            "the model, the unquantized model or a GGUF file"
        ) from error
