"""Parts of the residual stream, which add up to it in every architecture."""

from typing import Any

import pytest
import torch
from torch import nn

from lmcraft.errors import UserError
from lmcraft.interpretability.residual_stream import ResidualStream, freeze_norm
from lmcraft.model.norm import GemmaRMSNorm, LayerNorm, RMSNorm
from tests.tiny import GPT2, tiny_model

IDS = [5, 17, 90, 3, 5, 17, 44, 2]
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "gpt2": GPT2,
    "gemma3": {"norm": "gemma_rmsnorm", "norm_placement": "both", "scale_embeddings": True, "feed_forward": "geglu_tanh"},
    "olmo2": {"norm_placement": "after", "qk_norm_over": "projection"},
    "parallel": {"norm": "layernorm", "parallel_residual": True, "qk_norm": False, "attention_bias": "all"},
    "scaled_positions": {**GPT2, "scale_embeddings": True, "norm_placement": "both"},
    "experts": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
}


@torch.no_grad()
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parts_add_up_to_the_stream(name: str) -> None:
    model = tiny_model(**ARCHITECTURES[name])
    for parameter in model.parameters():  # so that biases and gains count
        parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    stream = ResidualStream(model, IDS)
    points = ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre", "blocks.1.hook_resid_post"]
    _, cache = model.run_with_cache(torch.tensor([IDS]), points)
    for layer, point in enumerate(points):
        parts = stream.parts(layer, [6, 0, 3])
        assert len(parts) == len(stream.names(layer))
        torch.testing.assert_close(parts.sum(0), cache[point][0, [6, 0, 3]], atol=2e-5, rtol=1e-4)
        frozen = freeze_norm(model.norm, parts.sum(0))
        normed = frozen.apply(parts).sum(0) + (0 if frozen.bias is None else frozen.bias)
        torch.testing.assert_close(normed, model.norm(cache[point])[0, [6, 0, 3]], atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_part_is_what_its_component_writes() -> None:
    model = tiny_model()
    stream = ResidualStream(model, IDS)
    names, parts = stream.names(2), stream.parts(2, range(8))
    _, cache = model.run_with_cache(torch.tensor([IDS]), ["blocks.1.attn.hook_result", "blocks.0.hook_mlp_out"])
    torch.testing.assert_close(parts[names.index("head 1.2")], cache["blocks.1.attn.hook_result"][0, :, 2])
    torch.testing.assert_close(parts[names.index("feed-forward 0")], cache["blocks.0.hook_mlp_out"][0])


@pytest.mark.parametrize("kind", [RMSNorm, GemmaRMSNorm, LayerNorm])
def test_a_frozen_norm_is_the_norm(kind: type[nn.Module]) -> None:
    norm, x = kind(6, 1e-5), torch.randn(3, 6)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(torch.randn(6))
        frozen = freeze_norm(norm, x)
        torch.testing.assert_close(frozen.apply(x) + (0 if frozen.bias is None else frozen.bias), norm(x))


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(UserError, match="Tanh cannot be frozen"):
        freeze_norm(nn.Tanh(), torch.ones(2, 4))
