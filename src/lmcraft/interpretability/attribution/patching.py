"""Activation patching (arXiv 2202.05262): which activations carry the difference between two prompts.

The second prompt runs with one activation of the text in place of its own; the effect is how much of the text's answer comes
back. The checks do the reverse, which the effects do not imply: they put the second prompt's activation into the text.

Shapes: T tokens, L layers, H heads of a layer, C width.
"""

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Literal

from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.interpretability.attribution.comparison import check_named
from lmcraft.interpretability.attribution.edited_runs import Edit, EditedRuns, in_float32
from lmcraft.interpretability.attribution.question import Question, ask, check_numbers, read_ids
from lmcraft.interpretability.choices import token_text
from lmcraft.interpretability.explanation import Check, Patching
from lmcraft.interpretability.interventions import Head, list_heads
from lmcraft.language_model import LanguageModel
from lmcraft.model.config import TransformerConfig
from lmcraft.tokenizer.tokenizer import Tokenizer

MIN_CHANGE = 0.1  # of the difference of logits between the prompts, below which shares of it mean nothing
MAX_PATCHED_TOKENS = 2**18  # of all runs together


def patch_activations(
    model: LanguageModel,
    ids: str | Sequence[int],
    other_ids: str | Sequence[int],
    *,
    answer: int | None = None,
    other_answer: int | None = None,
    seed: int = 0,
) -> Patching:
    """Where the difference between two prompts is carried: the residual stream by layer and token, and each head.

    Args:
        model: it computes in float32 here, whatever its type.
        ids: the text, or its token ids.
        other_ids: the second prompt, of as many tokens.
        answer: the text's; None: the token that the model would write after it.
        other_answer: the second prompt's; None: the most likely token after it, other than the answer.
        seed: of the heads and tokens that the checks compare with.

    Returns:
        The effects, with two checks: of the head with the largest effect, and of the token whose residual stream has the
        largest effect before the middle block (two tokens of a text of 9 to 19).

    Raises:
        UserError: a prompt is empty or too long, both differ in length or not at all, there is no such token, or the
            prompts hardly change the difference of the answers' logits.
        RunError: the model's outputs are not numbers.
    """
    text, other = read_ids(model, ids), read_ids(model, other_ids, "second prompt")
    transformer = in_float32(model.transformer)
    config = transformer.config
    first = _first_difference(text, other, config)
    points = [f"blocks.{layer}.attn.hook_z" for layer in range(config.num_hidden_layers)]
    clean, corrupted = (EditedRuns(transformer, prompt, points, first_token=first) for prompt in (text, other))
    for runs in (clean, corrupted):
        check_numbers(model.transformer, runs.logits)
    question = _ask(clean.logits, corrupted.logits, answer, other_answer)
    patches = PromptPair(clean, corrupted, question.direction(transformer))
    _check_change(patches, question, model.tokenizer)
    residual, heads = patches.residual_effects(), patches.head_effects()
    measure = question.describe(model.tokenizer)
    return Patching(
        other_tokens=[token_text(model.tokenizer, token) for token in other],
        answer=token_text(model.tokenizer, question.target),
        other_answer=token_text(model.tokenizer, question.contrast) if question.contrast is not None else "",
        clean=patches.clean_difference,
        corrupted=patches.corrupted_difference,
        residual=residual,
        heads=[
            [heads[layer, head] for head in range(config.num_attention_heads)] for layer in range(config.num_hidden_layers)
        ],
        checks=[patches.check_heads(heads, measure, seed), patches.check_tokens(residual, measure, seed)],
    )


class PromptPair:
    """Runs of two prompts of equal length, and patches from one into the other.

    Args:
        clean: of the text.
        corrupted: of the second prompt, from the same token on.
        direction: (C,) of the difference of logits that is measured.
    """

    def __init__(self, clean: EditedRuns, corrupted: EditedRuns, direction: Tensor) -> None:
        self.clean, self.corrupted, self.direction = clean, corrupted, direction
        self.clean_difference, self.corrupted_difference = (float(x.hidden @ direction) for x in (clean, corrupted))

    def head_effects(self) -> dict[Head, float]:
        """The effect of each head's output on all tokens."""
        heads = list_heads(self.clean.model.config)
        patches = [[patch_head(self.clean, head)] for head in heads]
        return dict(zip(heads, self._effects(patches), strict=True))

    def residual_effects(self, layers: Sequence[int] | None = None) -> list[list[float]]:
        """The effect of the residual stream before each block, or some of them, at each token, (L, T)."""
        layers = range(self.clean.model.config.num_hidden_layers) if layers is None else layers
        tokens = range(self.clean.first_token, self.clean.length)
        effects = self._effects([[patch_token(self.clean, layer, token)] for layer in layers for token in tokens])
        same = [0.0] * self.clean.first_token
        return [[*same, *effects[start : start + len(tokens)]] for start in range(0, len(effects), len(tokens))]

    def check_heads(self, effects: Mapping[Head, float], measure: str, seed: int) -> Check:
        """Put the second prompt's output of the head of the largest effect into the text."""
        return check_named(
            effects,
            self.clean,
            self.direction,
            lambda head: [patch_head(self.corrupted, head)],
            kind="head",
            action="patched",
            measure=measure,
            expected=self._expected,
            seed=seed,
        )

    def check_tokens(self, effects: Sequence[Sequence[float]], measure: str, seed: int) -> Check:
        """Put the second prompt's residual stream before the middle block into the text, at the token of largest effect."""
        middle = len(effects) // 2
        return check_named(
            dict(enumerate(effects[middle])),
            self.clean,
            self.direction,
            lambda token: [patch_token(self.corrupted, middle, token)] if token >= self.clean.first_token else [],
            kind="token",
            action="patched",
            measure=measure,
            expected=self._expected,
            seed=seed,
        )

    @property
    def _expected(self) -> Literal["falls", "rises"]:
        return "falls" if self.clean_difference > self.corrupted_difference else "rises"

    def _effects(self, patches: Sequence[Sequence[Edit]]) -> list[float]:
        change = self.clean_difference - self.corrupted_difference
        differences = self.corrupted.measure(patches, self.direction)
        return [(difference - self.corrupted_difference) / change for difference in differences]


def patch_head(source: EditedRuns, head: Head) -> Edit:
    """The output of a head at all tokens of another run that can differ."""
    point, tokens = f"blocks.{head[0]}.attn.hook_z", range(source.first_token, source.length)
    return Edit(point, tuple(tokens), source.activations[point][source.first_token :, head[1]], head[1])


def patch_token(source: EditedRuns, layer: int, token: int) -> Edit:
    """The residual stream of another run before a block, at one token."""
    point = f"blocks.{layer}.hook_resid_pre"
    return Edit(point, (token,), source.activations[point][token : token + 1])


def _first_difference(text: Sequence[int], other: Sequence[int], config: TransformerConfig) -> int:
    """The first token in which the prompts differ."""
    if len(text) != len(other):
        raise UserError(
            f"the text has {len(text)} tokens and the second prompt {len(other)}, but patching needs as many in both: "
            "reword one of them ('lmcraft tokenizer inspect' shows how a text is split)"
        )
    pairs = enumerate(zip(text, other, strict=True))
    first = next((position for position, (token, other_token) in pairs if token != other_token), None)
    if first is None:
        raise UserError(f"the text and the second prompt have the same {len(text)} tokens: change one of the prompts")
    differing = len(text) - first
    if config.num_hidden_layers * differing**2 > MAX_PATCHED_TOKENS:
        limit = isqrt(MAX_PATCHED_TOKENS // config.num_hidden_layers)
        raise UserError(
            f"the prompts differ from token {first} of {len(text)} on, and patching each of these {differing} tokens would "
            f"take too long: use prompts that differ in the last {limit} tokens at most"
        )
    return first


def _ask(clean: Tensor, corrupted: Tensor, answer: int | None, other_answer: int | None) -> Question:
    """The answers, by default the most likely tokens after each prompt; of logits (V,)."""
    names = ("answer", "other_answer")
    answer = ask(clean, answer, other_answer, names).target
    if other_answer is None:
        first = ask(corrupted, None, None)
        other_answer = first.target if first.target != answer else first.contrast
    return ask(clean, answer, other_answer, names)


def _check_change(pair: PromptPair, question: Question, tokenizer: Tokenizer) -> None:
    if abs(pair.clean_difference - pair.corrupted_difference) < MIN_CHANGE:
        raise UserError(
            f"the {question.describe(tokenizer)} is {pair.clean_difference:.2f} on the text and "
            f"{pair.corrupted_difference:.2f} on the second prompt: choose answers, or prompts, for which it changes by at "
            f"least {MIN_CHANGE}"
        )
