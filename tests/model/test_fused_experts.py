"""Checkpoints whose tensors hold all experts of a layer, where the family's have a tensor for each."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lmcraft.errors import UserError
from lmcraft.model.storage import load_model, save_model
from tests.tiny import tiny_model


def fused_folder(folder: Path, experts: int = 4) -> torch.Tensor:
    """Write a tiny mixture of experts whose files have `experts` experts together; returns its logits."""
    model = tiny_model(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8)
    save_model(model, folder, {})
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    for layer in range(model.config.num_hidden_layers):
        block = f"model.layers.{layer}.mlp.experts"
        parts = {p: [tensors.pop(f"{block}.{e}.{p}_proj.weight") for e in range(4)] for p in ("gate", "up", "down")}
        gate_up = [torch.cat(pair) for pair in zip(parts["gate"], parts["up"], strict=True)]
        tensors[f"{block}.gate_up_proj"] = torch.stack(gate_up[:experts])
        tensors[f"{block}.down_proj"] = torch.stack(parts["down"])
    save_file(tensors, file, {"format": "pt"})
    return model(torch.arange(20)[None])


@torch.inference_mode()
def test_experts_that_lie_together_open(tmp_path: Path) -> None:
    expected = fused_folder(tmp_path)
    assert torch.equal(load_model(tmp_path)(torch.arange(20)[None]), expected)


@torch.inference_mode()
def test_missing_experts_are_one_sentence(tmp_path: Path) -> None:
    fused_folder(tmp_path, experts=3)
    with pytest.raises(UserError, match=r"gate_up_proj' has shape \(3, .*\), but config.json implies more experts"):
        load_model(tmp_path)
