"""Changes of a model after its first text: both ways of decoding compute with the changed model."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from lmcraft.inference.model_changes import ModelSnapshot, find_modification
from lmcraft.inference.runner import Tier
from lmcraft.language_model import LanguageModel
from tests.inference.helpers import NATIVE_ONLY, TIERS, tokenizer
from tests.tiny import tiny_model

GREEDY: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}
PROMPT = [5, 6, 7]


def model_of(seed: int = 0, tier: Tier = "auto") -> LanguageModel:
    return LanguageModel(tiny_model(seed, vocab_size=tokenizer().vocab_size), tokenizer(), tier=tier)


def first(model: LanguageModel) -> Any:
    return model.transformer.layers[0]


def assign_data(model: LanguageModel) -> None:
    for parameter in first(model).parameters():
        parameter.data = parameter.data * -2


def assign_twice(model: LanguageModel) -> None:
    assign_data(model)
    assign_data(model)


def assign_parameters(model: LanguageModel) -> None:
    first(model).feed_forward.up_proj.weight = nn.Parameter(-3 * first(model).feed_forward.up_proj.weight)


def change_in_place(model: LanguageModel) -> None:
    with torch.no_grad():
        first(model).attention.q_proj.weight.zero_()


def change_data_in_place(model: LanguageModel) -> None:
    first(model).attention.v_proj.weight.data.mul_(-3)


def change_by_numpy(model: LanguageModel) -> None:
    first(model).attention.v_proj.weight.detach().numpy()[:] *= -3


def load_other_weights(model: LanguageModel) -> None:
    model.transformer.load_state_dict(model_of(seed=3).transformer.state_dict())


def add_bias(model: LanguageModel) -> None:
    linear = first(model).attention.k_proj
    linear.bias = nn.Parameter(torch.arange(len(linear.weight)).float())


def change_eps(model: LanguageModel) -> None:
    first(model).feed_forward_norm.eps = 9.0


def change_scale(model: LanguageModel) -> None:
    first(model).attention.scale *= 40


def replace_forward(model: LanguageModel) -> None:
    first(model).feed_forward.forward = torch.zeros_like


def replace_one_attention(model: LanguageModel) -> None:
    first(model).attention.kind = lambda q, k, v, mask, scale, dropout: torch.zeros_like(q)


class NoAttention(nn.Module):
    def forward(self, x: Tensor, *_: Any) -> Tensor:
        return torch.zeros_like(x)


def ablate_the_first(model: LanguageModel) -> None:
    first(model).attention = NoAttention()


def ablate_the_last(model: LanguageModel) -> None:
    model.transformer.layers[-1].attention = NoAttention()


CHANGES = [
    *(assign_data, assign_twice, assign_parameters, change_in_place, change_data_in_place, change_by_numpy),
    *(load_other_weights, add_bias, change_eps, change_scale, replace_forward, replace_one_attention),
    *(ablate_the_first, ablate_the_last),
]


def greedy_by_logits(model: LanguageModel) -> list[int]:
    ids = list(PROMPT)
    while len(ids) < len(PROMPT) + GREEDY["max_new_tokens"] and ids[-1] not in model.eos_token_ids:
        ids.append(int(model.compute_logits(ids)[-1].argmax()))
    return ids


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("used", [True, False])
def test_a_changed_model_is_decoded_as_it_is(change: Callable[[LanguageModel], None], used: bool) -> None:
    model = model_of()
    before = model.generate(PROMPT, **GREEDY) if used else model_of().generate(PROMPT, **GREEDY)
    change(model)
    after = model.generate(PROMPT, **GREEDY)
    assert after == [greedy_by_logits(model)] and after != before


@pytest.mark.parametrize("tier", TIERS)
def test_no_prefix_is_reused_after_a_change(tier: Tier) -> None:
    settings: dict[str, Any] = {"regex": "[a-z ]{6}", **GREEDY}
    prompt = list(range(5, 5 + 40))
    model = model_of(tier=tier)
    model.generate(prompt, **settings)
    assign_data(model)
    expected = LanguageModel(model.transformer, model.tokenizer, tier=tier).generate(prompt, **settings)
    assert model.generate(prompt, **settings) == expected


@NATIVE_ONLY
def test_an_unchanged_model_keeps_its_engine_and_a_restored_one_is_native_again() -> None:
    model = model_of()
    engine = model.engine
    model.generate(PROMPT, **GREEDY)
    assert model.engine is engine and engine.tier == "native"
    for hook in (first(model).register_forward_hook(print), register_module_forward_hook(lambda *_: None)):
        assert model.engine.tier == "eager"
        hook.remove()
    assert model.engine.tier == "native"


def test_a_model_with_nan_matches_its_snapshot() -> None:
    transformer = tiny_model()
    transformer.norm.weight.data[0] = torch.nan
    assert ModelSnapshot([transformer]).matches([transformer])


@pytest.mark.parametrize("settings", [{}, {"norm_placement": "both"}, {"norm": "layernorm", "num_experts": 2}])
def test_a_model_as_its_configuration_describes_it_has_no_modification(settings: dict[str, Any]) -> None:
    experts = {"num_experts_per_tok": 1, "moe_intermediate_size": 8} if "num_experts" in settings else {}
    assert find_modification(tiny_model(**settings, **experts)) == ""


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_model_can_be_copied_after_its_first_text(copied: Callable[[LanguageModel], LanguageModel]) -> None:
    model = model_of()
    expected = model.generate(PROMPT, **GREEDY)
    duplicate = copied(model)
    assert duplicate.generate(PROMPT, **GREEDY) == expected == model.generate(PROMPT, **GREEDY)
    assert duplicate.engine is not model.engine
