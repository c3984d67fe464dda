from collections import defaultdict
from pathlib import Path

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.inference.continuation import Token
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.kv_cache import KVCache
from lmcraft.inference.plain_generation import generate
from lmcraft.inference.sequence_batch import SequenceBatch
from tests.inference.helpers import FAMILIES, in_transformers, language_model, tokenizer
from tests.tiny import tiny_model

PROMPT = [5, 9, 2, 40, 7]


def ids_of(tokens: list[Token], row: int = 0) -> list[int]:
    return [token.id for token in tokens if token.row == row]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_equals_transformers(family: str, tmp_path: Path) -> None:
    ours = tiny_model(3, max_position_embeddings=128, **FAMILIES[family])
    reference = in_transformers(ours, tmp_path)
    expected = reference.generate(torch.tensor([PROMPT]), max_new_tokens=64, do_sample=False)[0, 5:].tolist()
    config = GenerationConfig(do_sample=False, max_new_tokens=64)
    assert ids_of(list(generate(ours, PROMPT, config))) == expected
    # and with an end token in the middle of it
    end = expected[30]
    ended = reference.generate(torch.tensor([PROMPT]), max_new_tokens=64, do_sample=False, eos_token_id=end, pad_token_id=0)
    assert ids_of(list(generate(ours, PROMPT, config, eos_token_ids=[end]))) == ended[0, 5:].tolist()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", [{}, {"num_return_sequences": 3}, {"num_beams": 3, "do_sample": False}])
def test_the_cache_changes_nothing(family: str, settings: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(1, max_position_embeddings=128, **FAMILIES[family])
    config = GenerationConfig(seed=4, max_new_tokens=80, repetition_penalty=1.2, frequency_penalty=0.1, **settings)
    cached = list(generate(model, PROMPT, config, eos_token_ids=[11]))
    monkeypatch.setattr(SequenceBatch, "next_logits", lambda batch: model(batch.tokens_BT, last_only=True)[:, 0].float())
    monkeypatch.setattr(KVCache, "reorder", lambda cache, rows: None)
    uncached = list(generate(model, PROMPT, config, eos_token_ids=[11]))
    assert [(t.row, t.id) for t in cached] == [(t.row, t.id) for t in uncached]
    for one, other in zip(cached, uncached, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


def test_log_probabilities_equal_one_forward_pass() -> None:
    model = tiny_model(2)
    tokens = list(generate(model, PROMPT, GenerationConfig(seed=0, temperature=2, max_new_tokens=20)))
    ids = PROMPT + ids_of(tokens)
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).log_softmax(-1)[0, 4:-1]
    for row, token in zip(logprobs, tokens, strict=True):
        assert token.logprob == pytest.approx(float(row[token.id]), abs=1e-4)


def test_each_row_ends_by_itself() -> None:
    model = tiny_model(0)
    config = GenerationConfig(seed=1, num_return_sequences=8, max_new_tokens=40, temperature=3)
    ends = set(range(0, 96, 16))
    tokens: dict[int, list[Token]] = defaultdict(list)
    for token in generate(model, PROMPT, config, eos_token_ids=ends):
        tokens[token.row].append(token)
    assert sorted(tokens) == list(range(8)) and len({len(row) for row in tokens.values()}) > 1
    for row in tokens.values():
        assert all(t.finish_reason is None and t.id not in ends for t in row[:-1])
        assert row[-1].finish_reason == ("stop" if row[-1].id in ends else "length")


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (GenerationConfig(max_new_tokens=7), 7),
        (GenerationConfig(max_length=9), 4),
        (GenerationConfig(max_new_tokens=0), 59),  # the model has 64 positions
        (GenerationConfig(max_new_tokens=3, max_length=20), 3),
    ],
)
def test_the_smallest_limit_ends_the_text(config: GenerationConfig, count: int) -> None:
    for beams in (1, 2):
        limited = config.updated({"num_beams": beams})
        tokens = list(generate(tiny_model(), PROMPT, limited))
        assert (len(tokens), tokens[-1].finish_reason) == (count, "length")


def test_a_prompt_that_does_not_fit_is_refused() -> None:
    model = tiny_model()
    for prompt, config, words in (
        ([], GenerationConfig(), "the prompt has no tokens"),
        ([1] * 64, GenerationConfig(), "max_position_embeddings=64"),
        (PROMPT, GenerationConfig(max_length=5), "max_length=5 counts the prompt"),
        ([1, 96], GenerationConfig(), "the prompt has token 96"),
        (PROMPT, GenerationConfig(logit_bias={96: 1.0}), "token 96, but the model's token ids are 0 to 95"),
        (PROMPT, GenerationConfig(stop=("a",)), "needs a tokenizer"),
    ):
        with pytest.raises(UserError, match=words):
            generate(model, prompt, config)


def test_text_equals_the_decoded_tokens() -> None:
    model = language_model().transformer
    tokens = list(generate(model, PROMPT, GenerationConfig(seed=2, max_new_tokens=150), tokenizer=tokenizer()))
    assert "".join(token.text for token in tokens) == tokenizer().decode([token.id for token in tokens])


@pytest.mark.parametrize("beams", [1, 2])
def test_a_stop_string_ends_the_text(beams: int) -> None:
    model = language_model().transformer
    config = GenerationConfig(max_new_tokens=60).updated({"seed": 2, "num_beams": beams})
    text = "".join(token.text for token in generate(model, PROMPT, config, tokenizer=tokenizer()))
    stop = text[20:24]
    tokens = list(generate(model, PROMPT, config.updated({"stop": stop}), tokenizer=tokenizer()))
    assert "".join(token.text for token in tokens) == text[: text.index(stop)]
    assert tokens[-1].finish_reason == "stop"


def test_inference_mode_ends_between_tokens() -> None:
    """Inference mode ends at every token: it must not leak into what the caller does between tokens."""
    for _ in generate(tiny_model(), PROMPT, GenerationConfig(max_new_tokens=3)):
        assert not torch.is_inference_mode_enabled()
