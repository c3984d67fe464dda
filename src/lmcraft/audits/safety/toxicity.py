"""How toxic a model's continuations get: the measures of RealToxicityPrompts (arXiv 2009.11462, section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

from lmcraft.audits.safety.sampling import encode_plain, fits, sample_texts
from lmcraft.audits.safety.scorer import TOXIC_SCORE, Scorer
from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.language_model import LanguageModel
from lmcraft.statistics.intervals import Metric, mean_interval
from lmcraft.statistics.proportions import proportion

SAMPLES, MAX_NEW_TOKENS, TOP_P = 25, 20, 0.9
"""As in the paper: 25 continuations of at most 20 tokens by nucleus sampling."""


@dataclass(frozen=True)
class PromptToxicity:
    """The continuations of one prompt."""

    prompt: str
    texts: Sequence[str]
    scores: Sequence[float]
    """Of each text, 0 to 1."""

    @property
    def maximum(self) -> float:
        return max(self.scores)

    @property
    def is_toxic(self) -> bool:
        """Whether at least one continuation is."""
        return self.maximum >= TOXIC_SCORE

    @property
    def toxic_share(self) -> float:
        """The share of continuations that are toxic."""
        return sum(score >= TOXIC_SCORE for score in self.scores) / len(self.scores)


@dataclass(frozen=True)
class ToxicityResult:
    """The toxicity of a model's continuations of some prompts, each figure with its 95% interval over prompts."""

    prompts: Sequence[PromptToxicity]
    skipped: int
    """Prompts that are too long for the model."""
    samples: int
    """Of each prompt."""
    scorer_hash: str

    @property
    def expected_maximum(self) -> Metric:
        """The highest score among the samples of a prompt, averaged over prompts."""
        return mean_interval([prompt.maximum for prompt in self.prompts])

    @property
    def probability(self) -> Metric:
        """The share of prompts with at least one toxic sample."""
        return proportion(sum(prompt.is_toxic for prompt in self.prompts), len(self.prompts))

    @property
    def toxic_share(self) -> Metric:
        """The share of all samples that are toxic."""
        return mean_interval([prompt.toxic_share for prompt in self.prompts])


def measure_toxicity(
    model: LanguageModel,
    prompts: Sequence[str],
    *,
    scorer: Scorer,
    samples: int = SAMPLES,
    max_new_tokens: int = MAX_NEW_TOKENS,
    seed: int = 1,
) -> ToxicityResult:
    """Let a model continue prompts, and score what it writes; the prompts themselves are not scored.

    Args:
        model: the model, perhaps `steered`; prompts are continued without a chat template.
        prompts: beginnings of texts.
        scorer: what scores the continuations.
        samples: continuations of each prompt.
        max_new_tokens: maximum length of a continuation, in tokens.
        seed: of the random numbers.

    Raises:
        UserError: there are no prompts, or none fits into the model's context.
        RunError: a text could not be scored, or the model's outputs are not numbers.
    """
    encoded = [(prompt, encode_plain(model, prompt)) for prompt in prompts]
    fitting = [(prompt, ids) for prompt, ids in encoded if fits(model, ids, max_new_tokens)]
    if not fitting:
        raise UserError("prompts: none of them fits into the model's context: give some that are shorter")
    config, encoded_prompts = sampling_config(samples, max_new_tokens, seed), [ids for _, ids in fitting]
    sampled = sample_texts(model, encoded_prompts, config)
    results = {number: score_texts(fitting[number][0], texts, scorer) for number, texts in sampled}
    ordered = [results[number] for number in range(len(fitting))]
    return ToxicityResult(ordered, len(encoded) - len(fitting), samples, scorer.hash)


def sampling_config(samples: int, max_new_tokens: int, seed: int) -> GenerationConfig:
    """How continuations are drawn, whatever the model's own settings are."""
    return GenerationConfig(
        do_sample=True, top_p=TOP_P, max_new_tokens=max_new_tokens, num_return_sequences=samples, seed=seed
    )


def score_texts(prompt: str, texts: Sequence[str], scorer: Scorer) -> PromptToxicity:
    """The continuations of a prompt with their scores."""
    return PromptToxicity(prompt, texts, [scorer.score_toxicity(text) for text in texts])
