"""Damaged and hostile checkpoints, in one sentence."""

import json
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from lmcraft.errors import UserError
from tests.model.quantized_checkpoints.reading import open_matrices

Tensors = dict[str, Tensor]
WORDS = torch.zeros(8, 32, dtype=torch.int32)
GPTQ: Tensors = {
    "qweight": WORDS,
    "qzeros": torch.zeros(2, 4, dtype=torch.int32),
    "scales": torch.ones(2, 32).half(),
    "g_idx": torch.arange(64) // 32,
}
AWQ: Tensors = {
    "qweight": torch.zeros(64, 4, dtype=torch.int32),
    "qzeros": torch.zeros(2, 4, dtype=torch.int32),
    "scales": torch.ones(2, 32).half(),
}
INT4: Tensors = {
    "weight_packed": torch.zeros(32, 8, dtype=torch.int32),
    "weight_scale": torch.ones(32, 2),
    "weight_shape": torch.tensor([32, 64]),
}
FP8: Tensors = {"weight": torch.zeros(32, 64).to(torch.float8_e4m3fn), "weight_scale_inv": torch.ones(2, 2)}
MXFP4: Tensors = {"_blocks": torch.zeros(2, 4, 2, 16, dtype=torch.uint8), "_scales": torch.zeros(2, 4, 2, dtype=torch.uint8)}
STATE = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [32, 64]}


def nf4(**changes: Any) -> Tensors:
    state = torch.tensor(list(json.dumps(STATE | changes).encode()), dtype=torch.uint8)
    return {
        "weight": torch.zeros(1024, 1, dtype=torch.uint8),
        "weight.absmax": torch.ones(32),
        "weight.quant_map": torch.zeros(16),
        "weight.quant_state.bitsandbytes__nf4": state,
    }


def config(method: str) -> dict[str, Any]:
    if method == "compressed-tensors":
        weights = {"num_bits": 4, "strategy": "group", "group_size": 32}
        return {"quant_method": method, "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}
    sizes: dict[str, Any] = {"gptq": {"bits": 4, "group_size": 32, "desc_act": True}, "awq": {"bits": 4, "group_size": 32}}
    return {"quant_method": method, **sizes.get(method, {}), "weight_block_size": [16, 32] if method == "fp8" else None}


DAMAGED: list[tuple[str, Tensors, dict[str, Tensor | None]]] = [
    ("gptq", GPTQ, {"scales": None}),
    ("gptq", GPTQ, {"qzeros": None}),
    ("gptq", GPTQ, {"g_idx": None}),
    ("gptq", GPTQ, {"scales": torch.ones(2, 31).half()}),
    ("gptq", GPTQ, {"scales": torch.ones(0, 32).half()}),
    ("gptq", GPTQ, {"scales": torch.ones(2, 32, dtype=torch.int64)}),
    ("gptq", GPTQ, {"qzeros": torch.zeros(1, 4, dtype=torch.int32)}),
    ("gptq", GPTQ, {"qweight": WORDS.long()}),
    ("gptq", GPTQ, {"qweight": WORDS[0]}),
    ("gptq", GPTQ, {"g_idx": torch.arange(64)}),
    ("gptq", GPTQ, {"g_idx": torch.full((64,), -1)}),
    ("gptq", GPTQ, {"g_idx": torch.zeros(0)}),
    ("gptq", GPTQ, {"g_idx": torch.zeros(10**4, dtype=torch.int32)}),
    ("awq", AWQ, {"scales": None}),
    ("awq", AWQ, {"qzeros": None}),
    ("awq", AWQ, {"scales": torch.ones(3, 32).half()}),
    ("awq", AWQ, {"qzeros": torch.zeros(2, 3, dtype=torch.int32)}),
    ("awq", AWQ, {"qweight": torch.zeros(64, dtype=torch.int32)}),
    ("compressed-tensors", INT4, {"weight_scale": None}),
    ("compressed-tensors", INT4, {"weight_shape": None}),
    ("compressed-tensors", INT4, {"weight_shape": torch.tensor([10**9, 10**9])}),
    ("compressed-tensors", INT4, {"weight_shape": torch.tensor([-32, 64])}),
    ("compressed-tensors", INT4, {"weight_shape": torch.tensor([32])}),
    ("compressed-tensors", INT4, {"weight_scale": torch.ones(32, 0)}),
    ("compressed-tensors", INT4, {"weight_scale": torch.ones(32, 1)}),
    ("compressed-tensors", INT4, {"weight_scale": torch.ones(32, 4)}),
    ("compressed-tensors", INT4, {"weight_scale": torch.ones(31, 2)}),
    ("compressed-tensors", INT4, {"weight_packed": torch.zeros(32, 8)}),
    ("compressed-tensors", INT4, {"weight_zero_point": torch.zeros(4, 3, dtype=torch.int32)}),
    ("compressed-tensors", INT4, {"weight_shift": torch.zeros(32, 1)}),
    ("fp8", FP8, {"weight_scale_inv": torch.ones(3, 2)}),
    ("fp8", FP8, {"weight_scale_inv": torch.ones(1, 2)}),
    ("fp8", FP8, {"weight_scale_inv": torch.ones(4, 2)}),
    ("fp8", FP8, {"weight_scale_inv": torch.ones(1, 1)}),
    ("fp8", FP8, {"weight_scale_inv": torch.ones(32)}),
    ("fp8", FP8, {"weight_scale_inv": torch.ones(2, 2, 2)}),
    ("fp8", FP8, {"weight_scale_inv": torch.ones(0, 2)}),
    ("fp8", FP8, {"weight_scale_inv": torch.ones(2, 2, dtype=torch.bool)}),
    ("fp8", FP8, {"weight": torch.zeros(32, 64, dtype=torch.int8)}),
    ("mxfp4", MXFP4, {"_scales": None}),
    ("mxfp4", MXFP4, {"_scales": torch.zeros(2, 4, 2)}),
    ("mxfp4", MXFP4, {"_blocks": torch.zeros(2, 4, 16, dtype=torch.uint8)}),
    ("bitsandbytes", nf4(), {"weight.absmax": None}),
    ("bitsandbytes", nf4(), {"weight.absmax": torch.ones(31)}),
    ("bitsandbytes", nf4(), {"weight.absmax": torch.zeros(32, dtype=torch.uint8)}),
    ("bitsandbytes", nf4(), {"weight.quant_map": torch.zeros(15)}),
    ("bitsandbytes", nf4(), {"weight.quant_state.bitsandbytes__nf4": torch.tensor([123, 255], dtype=torch.uint8)}),
    ("bitsandbytes", nf4(), {"weight.quant_state.bitsandbytes__nf4": torch.zeros(2)}),
    ("bitsandbytes", nf4(), {"weight.quant_state.bitsandbytes__nf4": torch.tensor([91, 93], dtype=torch.uint8)}),
    ("bitsandbytes", nf4(shape=[10**9, 10**9]), {}),
    ("bitsandbytes", nf4(shape=[-32, -64]), {}),
    ("bitsandbytes", nf4(shape="wide"), {}),
    ("bitsandbytes", nf4(blocksize=0), {}),
    ("bitsandbytes", nf4(blocksize=10**15), {}),
    ("bitsandbytes", nf4(blocksize="64"), {}),
    ("bitsandbytes", {"weight": torch.zeros(32, 64, dtype=torch.int8), "SCB": torch.ones(31)}, {}),
    (
        "bitsandbytes",
        {"weight": torch.zeros(4, 4, dtype=torch.int8), "SCB": torch.ones(4), "weight_format": torch.tensor(2)},
        {},
    ),
]


@pytest.mark.parametrize("number", range(len(DAMAGED)))
def test_damaged_matrices_are_named(number: int) -> None:
    method, sound, changes = DAMAGED[number]
    changed = {name: tensor for name, tensor in {**sound, **changes}.items() if tensor is not None}
    separator = "" if method == "mxfp4" else "."
    tensors = {f"layer{separator}{name}": tensor for name, tensor in changed.items()}
    with pytest.raises(
        UserError, match=r"^'folder': the quantized 'layer(\.weight)?' (is damaged \(.+\)|lacks '.+'); download"
    ):
        reader = open_matrices(config(method), tensors)
        for name in reader.matrices:
            reader.read(name)


@pytest.mark.parametrize(
    ("settings", "tensors", "missing"),
    [
        ({"symmetric": False}, INT4, "weight_zero_point"),
        ({"actorder": "group"}, INT4, "weight_g_idx"),
        ({"strategy": "tensor_group", "group_size": 16}, INT4, "weight_global_scale"),
    ],
)
def test_parts_that_the_settings_imply_are_not_guessed(settings: dict[str, Any], tensors: Tensors, missing: str) -> None:
    written = config("compressed-tensors")
    written["config_groups"]["group_0"]["weights"].update(settings)
    with pytest.raises(UserError, match=re.escape(f"the quantized 'layer.weight' lacks 'layer.{missing}'; download")):
        open_matrices(written, {f"layer.{name}": tensor for name, tensor in tensors.items()}).read("layer.weight")


@pytest.mark.parametrize(
    ("method", "settings", "sound", "part"),
    [
        ("gptq", {"desc_act": False}, GPTQ, "g_idx"),
        ("gptq", {"group_size": -1}, {**GPTQ, "scales": GPTQ["scales"][:1], "qzeros": GPTQ["qzeros"][:1]}, "g_idx"),
        ("awq", {"zero_point": False}, AWQ, "qzeros"),
    ],
)
def test_parts_that_change_nothing_may_be_missing(method: str, settings: dict[str, Any], sound: Tensors, part: str) -> None:
    tensors = {f"layer.{name}": tensor for name, tensor in sound.items() if name != part}
    assert open_matrices(config(method) | settings, tensors).read("layer.weight").shape == (32, 64)


@pytest.mark.parametrize("scales", [torch.ones(2, 2), torch.ones(32, 2), torch.ones(1, 2)])
def test_blocks_of_8_bit_floats_need_a_block_size(scales: Tensor) -> None:
    tensors = {"layer.weight": FP8["weight"], "layer.weight_scale_inv": scales}
    with pytest.raises(UserError, match=r"scales for \(32, 64\) weights without a block size in config\.json"):
        open_matrices({"quant_method": "fp8"}, tensors).read("layer.weight")


@pytest.mark.parametrize(("method", "sound"), [("gptq", GPTQ), ("awq", AWQ), ("compressed-tensors", INT4), ("fp8", FP8)])
def test_sound_matrices_are_read(method: str, sound: Tensors) -> None:
    tensors = {f"layer.{name}": tensor for name, tensor in sound.items()}
    assert open_matrices(config(method), tensors).read("layer.weight").shape == (32, 64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (3, "quantization_config '3' is not a table of settings"),
        ({"quant_method": "hqq"}, "quant_method='hqq' is not supported; supported: compressed-tensors, gptq, awq, "),
        ({"quant_method": ["x" * 10**6]}, r"quant_method=.{40,60} is not supported"),
        ({"quant_method": "gptq", "checkpoint_format": "marlin"}, "gptq with checkpoint_format='marlin' is not supported"),
        ({"quant_method": "gptq", "group_size": 0}, "gptq with group_size=0 is not supported"),
        ({"quant_method": "awq", "version": "marlin"}, "awq with version='marlin' and bits=4 is not supported"),
        ({"quant_method": "awq", "bits": 3}, "awq with version='gemm' and bits=3 is not supported"),
        ({"quant_method": "fp8", "weight_block_size": [0, "x"]}, "fp8 with blocks of .* is not supported"),
        ({"quant_method": "compressed-tensors", "format": "marlin-24"}, "format='marlin-24' is not supported"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": 1}}, "with damaged config_groups is not"),
        (
            {"quant_method": "compressed-tensors", "transform_config": {"config_groups": {"R1": {"type": "hadamard"}}}},
            "with transform_config is not supported",
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"a": {"targets": ["re:("]}, "b": {"targets": []}}},
            "a damaged pattern",
        ),
    ],
)
def test_unsupported_settings_are_named(settings: Any, message: str) -> None:
    tensors = {"layer.weight_scale": torch.ones(1), "layer.weight_packed": torch.ones(1), "layer.qweight": torch.ones(1)}
    with pytest.raises(UserError, match=message):
        open_matrices(settings, tensors)
