"""Model folders some of whose matrices other libraries quantized."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.storage import load_model, save_model
from lmcraft.model.transformer import Transformer
from tests.model.quantized_checkpoints.test_written_by_libraries import SETTINGS
from tests.tiny import GPT2, tiny_model

DOWN = {"qwen3": "mlp.down_proj", "gpt2": "mlp.c_proj"}
WRITTEN = load_file(Path(__file__).parent / "written_by_libraries.safetensors")


def tiny(family: str) -> Transformer:
    settings: dict[str, Any] = GPT2 if family == "gpt2" else {}
    return tiny_model(**settings, intermediate_size=64)


def write_quantized(folder: Path, case: str, family: str = "qwen3", **added: Tensor) -> Tensor:
    """A folder whose first layer has a quantized projection, (32, 64), and that projection dequantized."""
    save_model(tiny(family), folder, {})
    tensors, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    layer = next(name for name in tensors if name.endswith(f"0.{DOWN[family]}.weight")).removesuffix(".weight")
    del tensors[f"{layer}.weight"]
    parts = {name.removeprefix(case): tensor for name, tensor in WRITTEN.items() if name.startswith(f"{case}.")}
    tensors |= {f"{layer}{part}": tensor for part, tensor in parts.items()}
    save_file(tensors | {f"{layer}.{name}": tensor for name, tensor in added.items()}, folder / "model.safetensors")
    config |= {"quantization_config": {"quant_method": case.partition("-")[0], **SETTINGS[case]}, "dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config))
    return WRITTEN[f"{case}/dequantized"]


@pytest.mark.parametrize("family", DOWN)
@pytest.mark.parametrize("case", ["gptq-4-sym-64", "gptq-4-asym-32-order", "awq-gemm", "bitsandbytes-nf4-float16"])
def test_a_quantized_folder_computes_with_the_dequantized_weights(case: str, family: str, tmp_path: Path) -> None:
    expected = write_quantized(tmp_path, case, family)
    model = load_model(tmp_path)
    projection = model.layers[0].feed_forward.down_proj
    assert projection.weight.dtype == torch.float16 and torch.equal(projection.weight, expected)
    assert (projection.quantized is not None) == (case == "gptq-4-sym-64" and family == "qwen3")
    save_model(model, tmp_path / "saved", {})
    assert ("quantization_config" in (tmp_path / "saved/config.json").read_text()) == (projection.quantized is not None)
    again, ids = load_model(tmp_path / "saved"), torch.randint(0, 96, (1, 9))
    assert torch.equal(again.layers[0].feed_forward.down_proj.weight, expected)
    assert torch.equal(again(ids), model(ids))
    assert load_model(tmp_path, dtype=torch.float32).compute_dtype == torch.float32


def test_zero_biases_of_layers_without_a_bias_are_left_out(tmp_path: Path) -> None:
    write_quantized(tmp_path / "zeros", "gptq-4-sym-64", bias=torch.zeros(32))
    load_model(tmp_path / "zeros")
    write_quantized(tmp_path / "ones", "gptq-4-sym-64", bias=torch.ones(32))
    with pytest.raises(UserError, match=r"does not use, such as 'model\.layers\.0\.mlp\.down_proj\.bias'"):
        load_model(tmp_path / "ones")


def test_an_unsupported_format_names_the_file(tmp_path: Path) -> None:
    write_quantized(tmp_path, "gptq-4-sym-64")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "hqq"}}))
    with pytest.raises(UserError, match=r"config\.json': quantization_config with quant_method='hqq' is not supported"):
        load_model(tmp_path)


@pytest.mark.parametrize("quantization", [None, {"quant_method": "fp8"}])
def test_quantized_matrices_without_their_settings_are_named(quantization: dict[str, str] | None, tmp_path: Path) -> None:
    write_quantized(tmp_path, "gptq-4-sym-64")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": quantization}))
    with pytest.raises(
        UserError, match=r"quantized matrices, such as the one of 'model\.layers\.0\.mlp\.down_proj\.qweight'"
    ):
        load_model(tmp_path)


def test_a_quantized_norm_is_dequantized(tmp_path: Path) -> None:
    save_model(tiny("qwen3"), tmp_path, {})
    tensors, config = load_file(tmp_path / "model.safetensors"), json.loads((tmp_path / "config.json").read_text())
    norm = tensors.pop("model.norm.weight")
    tensors |= {"model.norm.weight": torch.ones(32, 1, dtype=torch.int8), "model.norm.SCB": norm}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "bitsandbytes"}}))
    with pytest.raises(UserError, match=r"norm\.weight' has shape \(32, 1\), but config\.json implies \(32,\)"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("case", "name", "more"),
    [
        ("gptq-4-sym-64", "quantize_config.json", {"desc_act": False}),
        ("awq-gemm", "quant_config.json", {"zero_point": True}),
    ],
)
def test_early_checkpoints_keep_their_settings_in_a_file_of_their_own(
    case: str, name: str, more: dict[str, Any], tmp_path: Path
) -> None:
    expected = write_quantized(tmp_path, case)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["quantization_config"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / name).write_text(json.dumps(SETTINGS[case] | more))
    assert torch.equal(load_model(tmp_path).layers[0].feed_forward.down_proj.weight, expected)
