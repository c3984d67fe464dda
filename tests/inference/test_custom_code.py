"""Logits processors, attention functions and replaced layers of the caller's own, in each way of decoding."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import LogitsProcessorList, SuppressTokensLogitsProcessor

from lmcraft.errors import RunError, UserError
from lmcraft.language_model import LanguageModel
from tests.inference.helpers import tokenizer
from tests.tiny import tiny_model

PROMPT = [5, 6, 7]


def without_even_tokens(input_ids: Tensor, logits: Tensor) -> Tensor:
    assert input_ids.shape[0] == logits.shape[0] and input_ids[0, : len(PROMPT)].tolist() == PROMPT
    logits[:, ::2] = -torch.inf  # a change in place must not reach the log-probabilities
    return logits


def model(tier: Any = "auto") -> LanguageModel:
    vocabulary = tokenizer()
    return LanguageModel(tiny_model(vocab_size=vocabulary.vocab_size), vocabulary, tier=tier)


@pytest.mark.parametrize("tier", ["eager", "auto"])
@pytest.mark.parametrize("settings", [{"do_sample": False}, {"seed": 1, "num_return_sequences": 2}, {"num_beams": 2}])
def test_a_processor_changes_every_token(tier: Any, settings: dict[str, Any]) -> None:
    rows = model(tier).generate(PROMPT, max_new_tokens=8, logits_processor=without_even_tokens, **settings)
    assert all(token % 2 for row in rows for token in row[len(PROMPT) :]) and len(rows[0]) > len(PROMPT)


def test_transformers_processors_work() -> None:
    language_model = model()
    first = language_model.generate(PROMPT, do_sample=False, max_new_tokens=1)[0][-1]
    processors = LogitsProcessorList([SuppressTokensLogitsProcessor([first])])
    assert language_model.generate(PROMPT, do_sample=False, max_new_tokens=1, logits_processor=processors)[0][-1] != first


def test_a_processor_without_a_result_is_named() -> None:
    with pytest.raises(UserError, match="logits_processor <lambda> returned NoneType: return the logits"):
        model().generate(PROMPT, logits_processor=lambda input_ids, logits: None)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(("value", "fault"), [(-torch.inf, "ruled out every token"), (torch.nan, "returned NaN")])
def test_a_processor_that_rules_out_everything_is_named(value: float, fault: str) -> None:
    with pytest.raises(UserError, match=f"logits_processor <lambda> {fault}: "):
        model().generate(PROMPT, logits_processor=lambda input_ids, logits: torch.full_like(logits, value))


@pytest.mark.parametrize("settings", [{"do_sample": False}, {"seed": 1, "temperature": 0.7}, {"num_beams": 2}])
def test_an_infinite_logit_chooses_its_token(settings: dict[str, Any]) -> None:
    def choose_nine(input_ids: Tensor, logits: Tensor) -> Tensor:
        logits[:, 9] = torch.inf
        return logits

    rows = model().generate(PROMPT, max_new_tokens=3, logits_processor=[choose_nine], **settings)
    assert rows == [[*PROMPT, 9, 9, 9]]


def test_no_processor_may_be_none() -> None:
    expected = model().generate(PROMPT, max_new_tokens=3, do_sample=False)
    assert model().generate(PROMPT, max_new_tokens=3, do_sample=False, logits_processor=None) == expected
    with pytest.raises(UserError, match="logits_processor has 5, which is not a function"):
        model().generate(PROMPT, logits_processor=[5])  # type: ignore[list-item]


def test_a_processor_that_chooses_a_token_outside_the_structure_is_named() -> None:
    def choose_nine(input_ids: Tensor, logits: Tensor) -> Tensor:
        return torch.full_like(logits, -torch.inf).index_fill(1, torch.tensor(9), 0)

    with pytest.raises(UserError, match="a logits_processor chose the token 9, which regex does not allow there"):
        model().generate(PROMPT, regex="zzz", logits_processor=choose_nine)


@pytest.mark.parametrize("kind", [5, "sdpa-typo", None])
def test_an_unknown_attention_is_refused(kind: Any) -> None:
    with pytest.raises(UserError, match=f"attention {kind!r} is not supported: use 'auto', 'matmul', 'sdpa' or a function"):
        model().transformer.use_attention(kind)


@pytest.mark.parametrize("tier", ["eager", "auto"])
def test_code_that_computes_nan_is_named(tier: Any) -> None:
    def broken_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float, dropout: float) -> Tensor:
        return q * torch.nan

    changed = model(tier)
    changed.transformer.use_attention(broken_attention)
    with pytest.raises(RunError, match="not numbers, and it has a custom attention function, broken_attention: check"):
        changed.generate(PROMPT)
    changed = model(tier)
    changed.transformer.layers[1].register_forward_hook(lambda module, inputs, output: output * torch.nan)
    with pytest.raises(RunError, match=r"not numbers, and 'layers\.1' has a forward hook: check"):
        changed.compute_logits(PROMPT)


def test_an_attention_function_replaces_the_attention() -> None:
    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float, dropout: float) -> Tensor:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
        return (q @ k.mT * scale + mask[:, None]).softmax(-1) @ v

    language_model = model("eager")
    expected = language_model.generate(PROMPT, do_sample=False, max_new_tokens=8)
    language_model.transformer.use_attention(attend)
    assert language_model.generate(PROMPT, do_sample=False, max_new_tokens=8) == expected
    language_model.transformer.use_attention(lambda q, k, v, mask, scale, dropout: torch.zeros_like(q))
    assert language_model.generate(PROMPT, do_sample=False, max_new_tokens=8) != expected


@pytest.mark.parametrize("change", ["layer", "hook", "identity", "attention"])
def test_a_changed_network_is_decoded_in_pytorch(change: str) -> None:
    """After the engine was built, too: the native decode step reads the weights and would not see the change."""
    language_model = model()
    before = language_model.generate(PROMPT, do_sample=False, max_new_tokens=8)
    layer: Any = language_model.transformer.layers[0]
    if change == "layer":
        layer.attention = _Zero(layer.attention)
    elif change == "identity":
        layer.feed_forward = nn.Identity()
    elif change == "hook":
        layer.feed_forward.register_forward_hook(lambda module, inputs, output: -5 * output)
    else:
        language_model.transformer.use_attention(lambda q, k, v, mask, scale, dropout: 5 * q)
    assert language_model.engine.tier == "eager"
    assert language_model.generate(PROMPT, do_sample=False, max_new_tokens=8) != before


class _Zero(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, *inputs: Any) -> Tensor:
        return torch.zeros_like(self.attention(*inputs))
