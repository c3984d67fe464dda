"""Whole quantized folders: logits equal to those of transformers, which dequantizes them too."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import quantize_rows
from lmcraft.model.storage import load_model, save_model
from tests.parity.cases import assert_close, saved, theirs
from tests.parity.cases.case import LOCAL_MOE, SIZES

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

WIDE: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 32}


def write_folder(
    folder: Path, model_type: str, sizes: Mapping[str, Any], quantization: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The folder of a tiny random model with a quantization_config, and its tensors, which are not yet quantized."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(model_type, **sizes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": quantization}))
    return load_file(folder / "model.safetensors")


def assert_same_logits(folder: Path, **options: Any) -> None:
    ids = torch.randint(0, 99, (2, 30), generator=torch.Generator().manual_seed(1))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).eval()
    with torch.inference_mode():
        assert_close(load_model(folder, dtype=torch.float32)(ids), theirs(ids).logits, 1e-5)


def test_gpt_oss_in_mxfp4(tmp_path: Path) -> None:
    quantization = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.embed_tokens", "lm_head"]}
    tensors = write_folder(tmp_path, "gpt_oss", {**LOCAL_MOE, **WIDE}, quantization)
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, inputs, outputs = tensors.pop(name).shape
        tensors[f"{name}_blocks"] = torch.randint(0, 256, (experts, outputs, inputs // 32, 16), dtype=torch.uint8)
        tensors[f"{name}_scales"] = torch.randint(118, 125, (experts, outputs, inputs // 32), dtype=torch.uint8)
    save_file(tensors, tmp_path / "model.safetensors")
    assert_same_logits(tmp_path, quantization_config=transformers.Mxfp4Config(dequantize=True))
    assert load_model(tmp_path).layers[0].attention.q_proj.weight.dtype == torch.float32  # as config.json says


@pytest.mark.parametrize("block", [[32, 32], None])
def test_float8(block: list[int] | None, tmp_path: Path) -> None:
    quantization = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": block}
    tensors = write_folder(tmp_path, "qwen3", {**SIZES, **WIDE}, quantization)
    for name in [name for name in tensors if "proj" in name]:
        rows, columns = tensors[name].shape
        tensors[name] = (tensors[name] * 100).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = (torch.rand(rows // 32, columns // 32) + 1) / 100 if block else torch.tensor(0.01)
    save_file(tensors, tmp_path / "model.safetensors")
    assert_same_logits(tmp_path)


def test_compressed_tensors(tmp_path: Path) -> None:
    """Queries and keys in 8 bits by name, others in 4 bits, the output projection in neither."""
    from tests.model.quantized_checkpoints.test_compressed_tensors import QuantizationArgs, compress

    four = {"num_bits": 4, "strategy": "group", "group_size": 32}
    eight = {"num_bits": 8, "strategy": "channel"}
    groups = {
        "others": {"targets": ["Linear"], "weights": four, "format": "pack-quantized"},
        "queries": {"targets": ["re:.*self_attn.[qk]_proj"], "weights": eight, "format": "int-quantized"},
    }
    quantization = {
        "quant_method": "compressed-tensors",
        "format": "mixed-precision",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": ["lm_head"],
    }
    tensors = write_folder(tmp_path, "llama", {**SIZES, **WIDE, "num_hidden_layers": 1}, quantization)
    for name in [name for name in tensors if "proj" in name]:
        kind = "queries" if name.split(".")[-2] in ("q_proj", "k_proj") else "others"
        args = QuantizationArgs(**(eight if kind == "queries" else four))
        weight = tensors.pop(name)
        stored, _ = compress(str(groups[kind]["format"]), args, torch.float32, weight)
        tensors |= {name.removesuffix("weight") + part: tensor.contiguous() for part, tensor in stored.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    assert_same_logits(tmp_path)


@pytest.mark.parametrize("name", ["gemma4_text", "gpt_neox"])
def test_our_folder_names_the_matrices_outside_the_blocks(name: str, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    model = load_model(saved(theirs(name), tmp_path / "original"))
    for layer in model.layers.modules():
        if isinstance(layer, Linear) and layer.quantizable:
            layer.quantized = quantize_rows(layer.weight)
            layer.weight.data.copy_(layer.quantized.dequantize())
    save_model(model, tmp_path / "quantized", {})
    assert_same_logits(tmp_path / "quantized")
