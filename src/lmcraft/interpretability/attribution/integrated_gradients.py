"""Integrated gradients (arXiv 1703.01365): which tokens of the text a difference of logits comes from.

The embeddings move on a straight line from a baseline to those of the text, and the gradients along it are summed up
(eq. 1). By the completeness axiom (proposition 1) the scores of the tokens add up to the change of the difference; what they
miss is the error of the quadrature, and where it is large the line is cut in two.

The baseline replaces every token with the mean of all embeddings; positions stay as they are. With zeros, which the paper
uses for texts (section 3), the first norm has no direction to keep: it scales up even the smallest embedding to full size,
so that the line begins with a jump.

Shapes: B points of the line, T tokens, C width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.interpretability.attribution.comparison import check_named
from lmcraft.interpretability.attribution.edited_runs import Edit, EditedRuns, in_float32
from lmcraft.interpretability.attribution.question import Contrast, ask, check_numbers, read_ids
from lmcraft.interpretability.choices import token_text
from lmcraft.interpretability.explanation import Check, InputAttribution
from lmcraft.language_model import LanguageModel
from lmcraft.model.hooks import Hooks
from lmcraft.model.transformer import Transformer

STREAM = "blocks.0.hook_resid_pre"
MAX_GRADIENT_TOKENS = 1024  # of the runs that are differentiated together
MAX_GAP = 0.05  # as in arXiv 1703.01365, section 5
SPAN_STEPS = 8  # gradients of a part of the line
MAX_STEPS, MAX_LINE_TOKENS = 256, 2**12  # of the whole line, unless the caller sets max_steps
MIN_CHANGE = 1e-3  # of the difference of logits; less counts as this much for the gap


def integrate_gradients(
    model: LanguageModel,
    ids: str | Sequence[int],
    *,
    target: int | None = None,
    contrast: Contrast = None,
    steps: int = 64,
    max_steps: int | None = None,
    baseline: Literal["mean", "zero"] = "mean",
    seed: int = 0,
) -> InputAttribution:
    """The share of each token in a difference of logits.

    Args:
        model: it computes in float32 here, whatever its type.
        ids: the text, or its token ids.
        target: None: the token that the model would write next.
        contrast: None: the most likely other token. "mean": the mean of all logits.
        steps: gradients along the line, in parts of 8 points of a Gauss-Legendre quadrature.
        max_steps: if the scores miss more than `MAX_GAP` of the change, the worst part is cut in two, with 8 points for each
            half, until they do not or there would be more gradients than this. None: 256, fewer for a text of more than 16
            tokens, and at least `steps`.
        baseline: what replaces each token: the mean of the vocabulary's embeddings, or zeros.
        seed: of the tokens that the check compares with.

    Returns:
        The scores, and a check of the token of the highest score (two tokens of a text of 9 to 19): the baseline takes its
        place, and that of others.

    Raises:
        UserError: the text is empty or too long, there is no such token, or there are no steps.
        RunError: the model's outputs are not numbers.
    """
    listed = read_ids(model, ids)
    if max_steps is None:
        max_steps = max(steps, min(MAX_STEPS, MAX_LINE_TOKENS // len(listed)))
    if not 1 <= steps <= max_steps:
        raise UserError(f"steps={steps} must be at least 1 and at most max_steps={max_steps}: 64 is usual")
    transformer = in_float32(model.transformer)
    runs = EditedRuns(transformer, listed, [STREAM])
    check_numbers(model.transformer, runs.logits)
    question = ask(runs.logits, target, contrast)
    embeddings_TC = runs.activations[STREAM]
    baseline_TC = embeddings_TC + baseline_change(transformer, listed, baseline)
    check_numbers(model.transformer, baseline_TC)  # one damaged embedding spoils the mean
    line = Line(transformer, baseline_TC, embeddings_TC, question.direction(transformer))
    spans = line.integrate(steps, max_steps)
    scores = torch.stack([span.scores for span in spans]).sum(0).tolist()
    before, after = spans[0].before, spans[-1].after
    return InputAttribution(
        target=token_text(model.tokenizer, question.target),
        contrast="" if question.contrast is None else token_text(model.tokenizer, question.contrast),
        scores=scores,
        gap=abs(sum(scores) - (after - before)) / max(abs(after - before), MIN_CHANGE),
        baseline=baseline,
        before=before,
        after=after,
        steps=line.steps,
        checks=[check_tokens(runs, scores, baseline_TC, line.direction, question.describe(model.tokenizer), seed)],
    )


def check_tokens(
    runs: EditedRuns, scores: Sequence[float], baseline_TC: Tensor, direction: Tensor, measure: str, seed: int
) -> Check:
    """Put the baseline in place of the token of the highest score; the other arguments are those of `check_named`."""
    return check_named(
        dict(enumerate(scores)),
        runs,
        direction,
        lambda token: [Edit(STREAM, (token,), baseline_TC[token : token + 1])],
        kind="token",
        action="ablated",
        measure=measure,
        seed=seed,
    )


@dataclass(frozen=True)
class Span:
    """A part of the line."""

    start: float
    """0 at the baseline."""
    stop: float
    """1 at the text."""
    scores: Tensor
    """(T,) in float64."""
    before: float
    after: float
    """The difference of the logits at both ends."""

    @property
    def gap(self) -> float:
        return abs(float(self.scores.sum()) - (self.after - self.before))


class Line:
    """The embeddings on the way from a baseline to those of a text.

    Args:
        model: in `eval` mode.
        start: (T, C) what enters the first block at the baseline.
        stop: (T, C) what enters it at the text.
        direction: (C,) of the difference of logits after the last token.
    """

    def __init__(self, model: Transformer, start: Tensor, stop: Tensor, direction: Tensor) -> None:
        self.model, self.start, self.change, self.direction = model, start, stop - start, direction
        self.steps = 0
        """Gradients computed so far."""

    def integrate(self, steps: int, max_steps: int, *, points: int = SPAN_STEPS) -> list[Span]:
        """Spans from the baseline to the text, cut where the scores miss most of the change.

        Args:
            steps: gradients before any cut, in spans of equal length.
            max_steps: gradients altogether, those of spans that were cut included.
            points: gradients of a span, at most `steps`.
        """
        points = min(points, steps)
        fractions = [number / (steps // points) for number in range(steps // points + 1)]
        spans = self._spans(fractions, self.differences(fractions), points)
        change = abs(spans[-1].after - spans[0].before)
        while sum(span.gap for span in spans) > MAX_GAP * change and self.steps + 2 * points <= max_steps:
            worst = max(range(len(spans)), key=lambda index: spans[index].gap)
            span = spans[worst]
            middle = (span.start + span.stop) / 2
            (difference,) = self.differences([middle])
            differences = [span.before, difference, span.after]
            spans[worst : worst + 1] = self._spans([span.start, middle, span.stop], differences, points)
        return spans

    @torch.no_grad()
    def differences(self, fractions: Sequence[float]) -> list[float]:
        """The difference of the logits at some points of the line."""
        return self.difference(self._points(fractions)).tolist()

    def _spans(self, fractions: Sequence[float], differences: Sequence[float], points: int) -> list[Span]:
        """Gauss-Legendre quadrature of the gradients between each fraction of the way and the next."""
        nodes, weights = np.polynomial.legendre.leggauss(points)
        edges = list(pairwise(fractions))
        alphas = [start + (stop - start) * (node + 1) / 2 for start, stop in edges for node in nodes]
        slopes = self._slopes(alphas).view(len(edges), points, -1)
        scores = torch.einsum("snt,n->st", slopes, torch.from_numpy(weights / 2).to(slopes))
        return [
            Span(start, stop, scores_T * (stop - start), before, after)
            for (start, stop), scores_T, (before, after) in zip(edges, scores, pairwise(differences), strict=True)
        ]

    def _slopes(self, fractions: Sequence[float]) -> Tensor:
        """The change of the difference of logits with each token's way along the line, (B, T), in float64."""
        slopes, size = [], max(1, MAX_GRADIENT_TOKENS // len(self.change))
        self.steps += len(fractions)
        for first in range(0, len(fractions), size):
            points_BTC = self._points(fractions[first : first + size]).requires_grad_()
            with torch.enable_grad():
                total = self.difference(points_BTC).sum()
            (gradients_BTC,) = torch.autograd.grad(total, points_BTC)
            slopes.append((gradients_BTC.double() * self.change.double()).sum(-1))
        return torch.cat(slopes)

    def _points(self, fractions: Sequence[float]) -> Tensor:
        """(B, T, C)"""
        return self.start + self.change.new_tensor(fractions)[:, None, None] * self.change

    def difference(self, points_BTC: Tensor) -> Tensor:
        """The difference of the logits, (B,), for inputs of the first block, (B, T, C)."""
        B, T, _ = points_BTC.shape
        ids = torch.zeros(B, T, dtype=torch.long, device=points_BTC.device)  # their embeddings are replaced
        hooks = Hooks(self.model.config, [(STREAM, lambda activation, point: points_BTC)])
        return self.model.hidden_states(ids, hooks=hooks)[:, -1] @ self.direction


def baseline_change(model: Transformer, ids: Sequence[int], baseline: Literal["mean", "zero"]) -> Tensor:
    """What gives each token the baseline's embedding if it is added to the input of the first block, (T, C)."""
    weight_VC = model.embed_tokens.weight.detach().float()
    if model.config.embedding_norm:
        raise UserError("integrated gradients do not work with embedding_norm=True: leave them out")
    scale = model.config.embedding_scale
    value_C = weight_VC.mean(0) if baseline == "mean" else torch.zeros_like(weight_VC[0])
    return (value_C - weight_VC[torch.tensor(list(ids), device=weight_VC.device)]) * scale
