"""What `lmcraft explain` finds out about one text, as data: the page, the server and Python read the same.

Shapes: T tokens of the text, L layers, H heads of a layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MAX_P = 0.05  # of a check that is passed
MIN_RANDOM = 19  # random others, of a check that can be passed


@dataclass(frozen=True)
class Choice:
    """A token that the model could write, or that a lens reads."""

    text: str
    probability: float
    id: int | None = None
    """Of the token."""


@dataclass(frozen=True)
class Check:
    """What changed when that which a view names was taken away, beside random others of its kind."""

    subject: str
    """What the view names: "head 5.1", "token 3", "document 12"."""
    action: Literal["ablated", "patched", "swapped", "left out of training"]
    measure: str
    """What was measured, with its unit: "induction score", "logit of ' Rome'", "loss of the text, nats per token"."""
    before: float
    after: float
    random: Sequence[float]
    """The measure after the same was done to each of some random others."""
    expected: Literal["falls", "rises"] | None = None
    """What the view predicts of the measure; None: that it changes."""

    @property
    def effect(self) -> float:
        """The change of the measure."""
        return self.after - self.before

    @property
    def p_value(self) -> float:
        """Of a permutation test: how often a random one changes the measure at least as much, in the expected direction or
        else in the same one; (1 + that many) / (1 + all)."""
        sign = self._sign
        stronger = sum(sign * (value - self.before) >= sign * self.effect for value in self.random)
        return (1 + stronger) / (1 + len(self.random))

    @property
    def is_passed(self) -> bool:
        """Whether it does better than random."""
        return self.is_possible and self._sign * self.effect > 0 and self.p_value <= MAX_P

    @property
    def is_possible(self) -> bool:
        """Whether there are enough random others for any result to pass: a short text has too few tokens, a small model too
        few heads."""
        return len(self.random) >= MIN_RANDOM

    @property
    def _sign(self) -> int:
        if self.expected is not None:
            return 1 if self.expected == "rises" else -1
        return 1 if self.effect >= 0 else -1


@dataclass(frozen=True)
class Surprise:
    """How surprised the model is by each token, and what it would have written instead."""

    nats: Sequence[float | None]
    """(T,) -ln p of each token; None for the first."""
    alternatives: Sequence[Sequence[Choice]]
    """(T, ...) the most likely tokens at the place of each token, best first; empty for the first."""
    next_tokens: Sequence[Choice]
    """The most likely tokens after the text."""


@dataclass(frozen=True)
class Lens:
    """What each layer's residual stream says when it is read as if it were the last."""

    kind: Literal["logit", "jacobian"]
    layers: Sequence[int]
    """The blocks after which it reads."""
    choices: Sequence[Sequence[Sequence[Choice]]]
    """(L, T, ...) the tokens that it reads, best first."""
    ranks: Sequence[Sequence[int | None]]
    """(L, T) rank of the token that follows in the text, or that the model would write after it; 1 is the first."""
    checks: Sequence[Check] = ()


@dataclass(frozen=True)
class Contribution:
    """What one component adds to a logit."""

    component: str
    """ "embedding", "head 3.2", "feed-forward 3", "bias"."""
    logit: float


@dataclass(frozen=True)
class LogitAttribution:
    """The logit of one token, or its difference from another, as a sum over components."""

    position: int
    """The token after which it is predicted."""
    target: str
    contrast: str
    """The other token; empty: the mean of all logits."""
    total: float
    contributions: Sequence[Contribution]
    """In the order of the forward pass; they add up to the total."""
    checks: Sequence[Check] = ()


@dataclass(frozen=True)
class Head:
    """An attention head, and how much it is of each kind."""

    layer: int
    number: int
    induction: float
    """Mean attention to the token after the same one's last occurrence, on repeated random tokens (arXiv 2209.11895)."""
    previous_token: float
    """Mean attention to the token before."""
    duplicate_token: float
    """Mean attention to the last occurrence of the same token."""
    keys: Sequence[Sequence[int]]
    """(T, up to 8) for each token, those to which it attends most, with at least 1%. In a long text the first token is left
    out, and then the smallest weights of all heads."""
    weights: Sequence[Sequence[float]]
    """(T, up to 8) their weights."""


@dataclass(frozen=True)
class AttentionReason:
    """Why a head attends from one token to another: what of the query and of the key makes the score."""

    layer: int
    head: int
    query: int
    key: int
    weight: float
    score: float
    """Before the softmax."""
    parts: Sequence[tuple[str, str, float]]
    """Component of the query's residual stream, component of the key's, and by how much more they add to the score than with
    the average key; largest first. The last two are all other pairs, and the average key: all add up to the score."""
    of_query: Sequence[tuple[str, float]] = ()
    """What components of the query add with all of the key, more than with the average key; largest first."""
    of_key: Sequence[tuple[str, float]] = ()
    """The same for components of the key, with all of the query."""


@dataclass(frozen=True)
class Attention:
    """The attention heads of a model on a text."""

    heads: Sequence[Head]
    reasons: Sequence[AttentionReason]
    """Of the heads that stand out."""
    checks: Sequence[Check] = ()


@dataclass(frozen=True)
class Patching:
    """How much of the difference between two prompts each place carries: 1 restores the first prompt's answer, 0 nothing."""

    other_tokens: Sequence[str]
    """The second prompt's tokens, as many as the text's."""
    answer: str
    other_answer: str
    clean: float
    """Logit of the answer minus that of the other answer, on the text."""
    corrupted: float
    """The same on the second prompt."""
    residual: Sequence[Sequence[float]]
    """(L, T) with the residual stream before a block patched at one token."""
    heads: Sequence[Sequence[float]]
    """(L, H) with the output of one head patched at all tokens."""
    checks: Sequence[Check] = ()


@dataclass(frozen=True)
class InputAttribution:
    """Integrated gradients (arXiv 1703.01365, eq. 1) of a difference of logits with respect to each token's embedding."""

    target: str
    scores: Sequence[float]
    """(T,) they add up to the change of the difference from the baseline to the text, within `gap`."""
    gap: float
    """The share of that change that the sum misses."""
    checks: Sequence[Check] = ()
    contrast: str = ""
    """The other token; empty: the mean of all logits."""
    baseline: Literal["mean", "zero"] = "mean"
    """What replaces every token: the mean of all embeddings, or zeros."""
    before: float = 0.0
    """The difference of the logits with the baseline."""
    after: float = 0.0
    """The same on the text."""
    steps: int = 0
    """Gradients along the way."""


@dataclass(frozen=True)
class DocumentInfluence:
    """How much one training document changed the loss of the text."""

    number: int
    """Of the training documents, in the order of the dataset."""
    source: str
    """File, and where it begins there."""
    excerpt: str
    scores: dict[str, float]
    """By method: "replay", "ekfac", "cosine". Positive: training on the document lowered the loss of the text."""


@dataclass(frozen=True)
class Influence:
    """Which training documents taught the model this text."""

    methods: Sequence[str]
    document_count: int
    documents: Sequence[DocumentInfluence]
    """The most influential ones by any method, best by the first method first."""
    metasmoothness: float | None
    """Of the run (arXiv 2503.13751), 1 if the influence of documents is as smooth as possible; None if not measured."""
    checks: Sequence[Check] = ()
    step: int = 0
    """The training step whose weights are explained."""
    notes: Sequence[str] = ()
    """Sentences about how far the scores can be trusted."""
    omitted: Sequence[tuple[str, str]] = ()
    """Methods, and "checks", that could not run, and why."""


@dataclass(frozen=True)
class TrainingStep:
    """The model at one checkpoint."""

    step: int
    nats_per_token: float
    """Of the text."""
    induction: float
    """The highest induction score of a head."""
    previous_token: float
    induction_loss_gap: float
    """Loss of the first half of repeated random tokens minus that of the second, nats per token."""
    next_tokens: Sequence[Choice]
    surprise: Sequence[float | None]
    """(T,) nats of each token."""


@dataclass(frozen=True)
class Training:
    """The text through the checkpoints of a run."""

    steps: Sequence[TrainingStep]
    formation_step: int | None
    """The first checkpoint whose induction score is above half of the highest; None if no head copies."""
    checks: Sequence[Check] = ()


@dataclass(frozen=True)
class Explanation:
    """All views of one text."""

    model: str
    description: str
    """Family, parameters, layers: one line."""
    text: str
    tokens: Sequence[str]
    r"""(T,) as they are spelled; a token that is part of a character is its bytes, such as \xe4\xb8."""
    surprise: Surprise
    lenses: Sequence[Lens] = ()
    logit_attribution: LogitAttribution | None = None
    attention: Attention | None = None
    patching: Patching | None = None
    input_attribution: InputAttribution | None = None
    influence: Influence | None = None
    training: Training | None = None
    omitted: Sequence[tuple[str, str]] = ()
    """Views that are not there, and why: ("influence", "the folder has no training data to compare with")."""
