"""The sampler against its definitions, written out slowly, and against transformers' processors."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lmcraft.inference import sampler
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.sampler import Sampler

SETTINGS = st.fixed_dictionaries(
    {
        "top_n_sigma": st.sampled_from([0.0, 0.5, 2.0]),
        "temperature": st.sampled_from([0.3, 1.0, 1.7]),
        "top_k": st.sampled_from([0, 1, 5, 40, 1000]),
        "top_p": st.sampled_from([0.05, 0.5, 0.9, 0.999, 1.0]),
        "min_p": st.sampled_from([0.0, 0.02, 0.3, 1.0]),
        "repetition_penalty": st.sampled_from([1.0, 1.3, 0.7]),
        "presence_penalty": st.sampled_from([0.0, 0.8, -0.5]),
        "frequency_penalty": st.sampled_from([0.0, 0.4]),
        "logit_bias": st.sampled_from([{}, {3: 2.5, 17: -100.0}]),
    }
)


def random_logits(seed: int, V: int = 50, B: int = 3) -> Tensor:
    return 3 * torch.randn(B, V, generator=torch.Generator().manual_seed(seed))


def probabilities_by_definition(logits: Tensor, tokens: list[int], prompt_length: int, c: GenerationConfig) -> np.ndarray:
    """One row, in float64 and plain Python."""
    x = [float(logit) for logit in logits]
    for token, bias in c.logit_bias.items():
        x[token] += bias
    for token in set(tokens):
        x[token] = x[token] / c.repetition_penalty if x[token] > 0 else x[token] * c.repetition_penalty
    generated = tokens[prompt_length:]
    for token in set(generated):
        x[token] -= generated.count(token) * c.frequency_penalty + c.presence_penalty
    if c.top_n_sigma:
        threshold = max(x) - c.top_n_sigma * float(np.std(x))
        x = [logit if logit >= threshold else -np.inf for logit in x]
    x = [logit / c.temperature for logit in x]
    order = sorted(range(len(x)), key=lambda token: -x[token])

    def softmax(allowed: list[int]) -> dict[int, float]:
        weights = {token: np.exp(x[token] - x[order[0]]) for token in allowed}
        whole = sum(weights.values())
        return {token: weight / whole for token, weight in weights.items()}

    allowed = order[: c.top_k] if c.top_k else order
    probs, total, nucleus = softmax(allowed), 0.0, []
    for token in allowed:
        nucleus.append(token)
        total += probs[token]
        if total >= c.top_p:
            break
    probs = softmax(nucleus)
    probs = softmax([token for token in nucleus if probs[token] >= c.min_p * probs[order[0]]])
    return np.array([probs.get(token, 0.0) for token in range(len(x))])


def sampler_probabilities(logits: Tensor, tokens: Tensor, config: GenerationConfig, prompt_length: int) -> Tensor:
    chooser = Sampler(config, vocab_size=logits.shape[1])
    return sampler.probabilities(chooser.penalize(logits, tokens, prompt_length=prompt_length), config)


@given(SETTINGS, st.integers(0, 10_000))
@settings(max_examples=150, deadline=None)
def test_the_distribution_is_the_definition(values: dict[str, Any], seed: int) -> None:
    config = GenerationConfig(**values)
    tokens = torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(seed))
    logits = random_logits(seed)
    got = sampler_probabilities(logits, tokens, config, 5)
    for row in range(3):
        np.testing.assert_allclose(
            got[row], probabilities_by_definition(logits[row], tokens[row].tolist(), 5, config), atol=2e-5
        )


@given(SETTINGS, st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_the_distribution_is_that_of_transformers(values: dict[str, Any], seed: int) -> None:
    from transformers.generation import logits_process as hf

    values = values | {"presence_penalty": 0.0, "frequency_penalty": 0.0, "top_n_sigma": 0.0}  # transformers lacks these
    config = GenerationConfig(**values)
    tokens = torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(seed))
    expected: Any = random_logits(seed)
    processors: list[Any] = []
    if config.logit_bias:
        processors.append(hf.SequenceBiasLogitsProcessor({(token,): bias for token, bias in config.logit_bias.items()}))
    processors.append(hf.RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
    processors.append(hf.TemperatureLogitsWarper(config.temperature))
    if config.top_k:
        processors.append(hf.TopKLogitsWarper(config.top_k))
    processors += [hf.TopPLogitsWarper(config.top_p), hf.MinPLogitsWarper(config.min_p)]
    for processor in processors:
        expected = processor(tokens, expected)
    torch.testing.assert_close(
        sampler_probabilities(random_logits(seed), tokens, config, 5), expected.softmax(-1), atol=1e-6, rtol=1e-5
    )


@given(
    st.sampled_from([(), (3, 7, 49, 99, -1)]),
    st.sampled_from([(), (4,)]),
    st.integers(0, 5),
    st.integers(0, 4),
    st.integers(5, 12),
    st.integers(0, 10_000),
)
@settings(max_examples=80, deadline=None)
def test_the_tokens_that_are_ruled_out_are_those_of_transformers(
    suppressed: tuple[int, ...], first: tuple[int, ...], min_new: int, ngram: int, prompt_length: int, seed: int
) -> None:
    from transformers.generation import logits_process as hf

    tokens = torch.randint(0, 6, (3, 12), generator=torch.Generator().manual_seed(seed))
    processors: list[Any] = [
        hf.MinNewTokensLengthLogitsProcessor(prompt_length, min_new, [1, 2], device="cpu"),
        hf.SuppressTokensLogitsProcessor(list(suppressed)),
        hf.SuppressTokensAtBeginLogitsProcessor(list(first), prompt_length),
    ]
    if ngram:
        processors.append(hf.NoRepeatNGramLogitsProcessor(ngram))
    expected: Any = random_logits(seed)
    for processor in processors:
        expected = processor(tokens, expected)
    config = GenerationConfig(
        suppress_tokens=suppressed, begin_suppress_tokens=first, min_new_tokens=min_new, no_repeat_ngram_size=ngram
    )
    chooser = Sampler(config, vocab_size=50, eos_token_ids=[1, 2])
    got = chooser.penalize(random_logits(seed), tokens, prompt_length=prompt_length)
    assert torch.equal(got, expected)
    assert not config.is_model_argmax or config == GenerationConfig()


def test_the_last_token_that_is_left_is_not_ruled_out() -> None:
    config = GenerationConfig(do_sample=False, suppress_tokens=(2,), min_new_tokens=9)
    chooser = Sampler(config, vocab_size=4, eos_token_ids=[3])
    only_end = torch.tensor([[-torch.inf, -torch.inf, -torch.inf, 1.0]])  # as a grammar leaves it at its end
    assert chooser.next_tokens(only_end, torch.tensor([[0]]), prompt_length=1).tolist() == [3]


@pytest.mark.parametrize("spread", [0.01, 3.0])
def test_a_nucleus_in_a_large_vocabulary(spread: float) -> None:
    """Both ways of `keep_top_p`: a flat distribution has a nucleus of more than TOP_P_CANDIDATES tokens."""
    logits = spread * torch.randn(2, 6000, generator=torch.Generator().manual_seed(0))
    config = GenerationConfig(top_p=0.9)
    got = sampler.probabilities(logits, config)
    assert (int((got[0] > 0).sum()) > sampler.TOP_P_CANDIDATES) == (spread < 1)
    for row in range(2):
        # A nucleus of thousands ends where float32 sums say; one token more or less is not a difference.
        np.testing.assert_allclose(got[row], probabilities_by_definition(logits[row], [], 0, config), atol=3e-4)


def test_hand_computed_top_n_sigma() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, 5.0]])  # mean 2, standard deviation sqrt(3.5) = 1.87
    assert sampler.keep_top_n_sigma(logits, 1.0).tolist() == [[-np.inf, -np.inf, -np.inf, 5.0]]
    assert sampler.keep_top_n_sigma(logits, 2.0).tolist() == [[-np.inf, -np.inf, 2.0, 5.0]]
    assert sampler.keep_top_n_sigma(logits, 3.0).tolist() == logits.tolist()
    excluded = torch.tensor([[-torch.inf, 0.0, 1.0, 2.0, 5.0]])  # does not count
    assert sampler.keep_top_n_sigma(excluded, 2.0).tolist() == [[-np.inf, -np.inf, -np.inf, 2.0, 5.0]]
    assert sampler.keep_top_n_sigma(torch.full((1, 4), 3.0), 1.0).tolist() == [[3.0] * 4]


@given(st.integers(0, 10_000), st.sampled_from([0.3, 1.0, 2.5]), st.sampled_from([0.25, 1.0, 4.0]))
@settings(max_examples=60, deadline=None)
def test_top_n_sigma_does_not_depend_on_temperature(seed: int, n: float, scale: float) -> None:
    logits = random_logits(seed)  # powers of two scale without rounding
    kept = sampler.keep_top_n_sigma(logits, n).isfinite()
    assert torch.equal(sampler.keep_top_n_sigma(logits * scale, n).isfinite(), kept)
    assert bool(kept.gather(1, logits.argmax(-1, keepdim=True)).all())


def test_draws_follow_the_probabilities() -> None:
    """Chi-square against the exact probabilities; 99.9 % of sound samplers pass for a random seed, and this one is fixed."""
    probs = probabilities_by_definition(
        random_logits(0, V=20)[0], [], 0, config := GenerationConfig(temperature=1.5, top_k=12)
    )
    n = 20_000
    logits = random_logits(0, V=20)[:1].expand(n, -1)
    ids = Sampler(config, vocab_size=20).next_tokens(
        logits, torch.zeros(n, 1, dtype=torch.long), prompt_length=1, generator=torch.Generator().manual_seed(0)
    )
    counts = np.bincount(ids.numpy(), minlength=20)
    assert counts[probs == 0].sum() == 0
    expected = n * probs[probs > 0]
    assert ((counts[probs > 0] - expected) ** 2 / expected).sum() < 31.3  # chi-square, 11 degrees of freedom, 0.999


def test_a_token_without_probability_is_never_drawn() -> None:
    probs = torch.zeros(5000, 7)
    probs[:, [1, 4]] = 0.5
    assert set(sampler.draw(probs, torch.Generator().manual_seed(0)).tolist()) == {1, 4}


def test_temperature_zero_takes_the_most_likely_token() -> None:
    logits, tokens = random_logits(1), torch.zeros(3, 1, dtype=torch.long)
    for config in (GenerationConfig(temperature=0), GenerationConfig(do_sample=False)):
        assert torch.equal(Sampler(config, vocab_size=50).next_tokens(logits, tokens, prompt_length=1), logits.argmax(-1))


def test_log_probabilities_are_the_models_own() -> None:
    logits, ids = random_logits(2), torch.tensor([4, 0, 49])
    expected = logits.log_softmax(-1)[torch.arange(3), ids]
    torch.testing.assert_close(sampler.log_probabilities(logits, ids), expected)
