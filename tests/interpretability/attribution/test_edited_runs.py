"""Edited runs agree with whole runs with hooks, whatever is shared."""

import pytest
import torch

from lmcraft.interpretability.attribution.edited_runs import Edit, EditedRuns, in_float32
from lmcraft.model.hooks import HookFunction, HookPoint
from tests.interpretability.attribution.models import FAMILIES, random_transformer

IDS = [5, 17, 80, 3, 5, 17, 44, 2, 9]


def hook_of(edit: Edit) -> HookFunction:
    def replace(activation: torch.Tensor, point: HookPoint) -> torch.Tensor:
        target = activation[0] if edit.head is None else activation[0, :, edit.head]
        target[list(edit.tokens)] = edit.values
        return activation

    return replace


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("first_token", [0, 6])
@torch.no_grad()
def test_measures_are_those_of_whole_runs(family: str, first_token: int) -> None:
    model = random_transformer(family)
    runs = EditedRuns(model, IDS, ["blocks.1.attn.hook_z"], first_token=first_token)
    direction = torch.randn(32)
    torch.testing.assert_close(runs.logits, model(torch.tensor([IDS]))[0, -1])
    edits = [
        [Edit("blocks.2.hook_mlp_out", (8,), torch.randn(1, 32))],
        [],
        [
            Edit("blocks.1.attn.hook_z", (6, 8), torch.randn(2, 8), head=3),
            Edit("blocks.2.hook_resid_pre", (7,), torch.randn(1, 32)),
        ],
        [Edit("blocks.0.hook_resid_pre", (6, 7, 8), torch.randn(3, 32))],
    ]
    for run, difference in zip(edits, runs.measure(edits, direction), strict=True):
        hooks = [(edit.point, hook_of(edit)) for edit in run]
        _, cache = model.run_with_cache(torch.tensor([IDS]), ["ln_final.hook_normalized"], fwd_hooks=hooks)
        logit = float(cache["ln_final.hook_normalized"][0, -1] @ direction)
        assert difference == pytest.approx(logit, abs=1e-4)


def test_a_model_in_bfloat16_computes_in_float32() -> None:
    model = random_transformer("qwen3").bfloat16()
    model.compute_dtype = torch.bfloat16
    copy, ids = in_float32(model), torch.tensor([IDS])
    assert copy.embed_tokens.weight.data_ptr() == model.embed_tokens.weight.data_ptr()
    with torch.no_grad():
        expected = random_transformer("qwen3").bfloat16().float()(ids)
        torch.testing.assert_close(copy(ids), expected)
    assert model(ids).dtype == torch.bfloat16
