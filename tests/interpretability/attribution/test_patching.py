"""Activation patching: effects, and what cannot be patched."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.interpretability.attribution.patching import patch_activations
from lmcraft.interpretability.interventions import replace_activations
from tests.interpretability.attribution.models import random_model

IDS, OTHER = [5, 17, 8, 3, 5, 17, 4, 2, 9], [5, 17, 8, 6, 5, 17, 4, 2, 9]


@torch.no_grad()
def test_effects_are_those_of_runs_with_one_activation_patched() -> None:
    model = random_model()
    patching = patch_activations(model, IDS, OTHER, answer=7, other_answer=11)
    names = ["blocks.1.hook_resid_pre", "blocks.2.attn.hook_z"]
    _, cache = model.transformer.run_with_cache(torch.tensor([IDS]), names)
    for effect, hooks in (
        (patching.residual[1][5], replace_activations(names[0], cache, tokens=[5])),
        (patching.heads[2][1], replace_activations(names[1], cache, heads=[1])),
    ):
        logits = model.transformer.run_with_hooks(torch.tensor([OTHER]), hooks)[0, -1]
        share = (float(logits[7] - logits[11]) - patching.corrupted) / (patching.clean - patching.corrupted)
        assert effect == pytest.approx(share, abs=1e-3)


def test_only_what_differs_has_an_effect() -> None:
    patching = patch_activations(random_model(), IDS, OTHER, answer=7, other_answer=11)
    assert all(layer[:3] == [0, 0, 0] for layer in patching.residual)
    assert patching.residual[0][3] == pytest.approx(1, abs=1e-4)  # the only token that differs
    assert patching.residual[0][4:] == pytest.approx([0] * 5, abs=1e-4)
    assert len(patching.residual) == 3 and len(patching.heads) == 3 and len(patching.heads[0]) == 4


def test_the_answers_are_what_the_model_would_write() -> None:
    model = random_model()
    patching = patch_activations(model, IDS, OTHER)
    first, second = (model.compute_logits(ids)[-1].topk(2).indices.tolist() for ids in (IDS, OTHER))
    logits = model.compute_logits(IDS)[-1]
    other = second[0] if second[0] != first[0] else second[1]
    assert patching.clean == pytest.approx(float(logits[first[0]] - logits[other]), abs=1e-4)


def test_the_checks_patch_the_text_itself() -> None:
    patching = patch_activations(random_model(), IDS, OTHER, answer=7, other_answer=11)
    heads, tokens = patching.checks
    assert heads.before == tokens.before == patching.clean
    assert heads.expected == ("falls" if patching.clean > patching.corrupted else "rises")
    assert len(heads.random) == 45 and len(tokens.random) == 21 and heads.action == "patched"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (OTHER[:7], "the text has 9 tokens and the second prompt 7, but patching needs as many in both: reword"),
        (IDS, "have the same 9 tokens: change one"),
        ([], "the second prompt has no tokens"),
    ],
    ids=["length", "same", "empty"],
)
def test_prompts_that_cannot_be_compared_are_named(other: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        patch_activations(random_model(), IDS, other)


def test_equal_answers_are_refused() -> None:
    with pytest.raises(UserError, match="answer and other_answer are the same token, 4: choose another other_answer"):
        patch_activations(random_model(), IDS, OTHER, answer=4, other_answer=4)


def test_long_differences_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcraft.interpretability.attribution.patching.MAX_PATCHED_TOKENS", 50)
    with pytest.raises(UserError, match=r"differ from token 3 of 9 on, .* in the last 4 tokens at most"):
        patch_activations(random_model(), IDS, OTHER)


def test_answers_that_do_not_change_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcraft.interpretability.attribution.patching.MIN_CHANGE", 1e9)
    with pytest.raises(UserError, match="choose answers, or prompts, for which it changes"):
        patch_activations(random_model(), IDS, OTHER)
