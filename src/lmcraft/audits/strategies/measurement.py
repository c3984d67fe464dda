"""What a model does, measured: toxicity of its continuations, perplexity of clean text, and over-refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self
from zlib import crc32

import torch

from lmcraft.audits.safety.over_refusal import harmless_questions, measure_over_refusal
from lmcraft.audits.safety.refusals import is_refusal
from lmcraft.audits.safety.sampling import encode_plain, fits
from lmcraft.audits.safety.scorer import ModeratorScorer, Scorer
from lmcraft.audits.safety.toxicity import TOP_P, PromptToxicity, measure_toxicity
from lmcraft.audits.strategies.corpus import Corpus
from lmcraft.audits.strategies.experiment import MeasureSettings
from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.likelihood import ScoredText
from lmcraft.evaluation.methods.perplexity import MAX_WINDOW_TOKENS, split_windows
from lmcraft.folder import read_json, write_json
from lmcraft.inference.steering import Steering
from lmcraft.language_model import LanguageModel
from lmcraft.moderation import Action, Moderator


@dataclass(frozen=True)
class Measurement:
    """The items that the figures of one trained model are computed from."""

    maxima: Sequence[float]
    """Of each prompt: the highest score of its continuations."""
    toxic_shares: Sequence[float]
    """Of each prompt: the share of its continuations that are toxic."""
    toxic: Sequence[bool]
    """Of each prompt: whether a continuation is toxic."""
    nats: Sequence[float]
    """Of each held-out text: its negative log-likelihood."""
    tokens: Sequence[int]
    """Of each held-out text."""
    refused: Sequence[bool]
    """Of each harmless question: whether the answer is a refusal. Empty: not measured."""
    replaced: float
    """The share of continuations that the guard replaced."""
    prompts: Sequence[int] = ()
    """The numbers of the prompts, of which some may be too long for the context. Empty: all, from 0 on."""

    def of_prompts(self, values: Sequence[float]) -> dict[int, float]:
        """`maxima`, `toxic_shares` or `toxic` by the number of the prompt."""
        return dict(zip(self.prompts or range(len(values)), values, strict=True))

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The measurement in a file; None if there is none."""
        return cls(**read_json(file)) if file.is_file() else None

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, asdict(self))


class GuardedScorer:
    """Scores what is left of a text when a policy has judged it.

    Args:
        scorer: scores texts.
        guard: the moderator that refuses or redacts them.
    """

    def __init__(self, scorer: Scorer, guard: Moderator) -> None:
        self._scorer, self._guard = scorer, guard
        self.hash = scorer.hash
        self.judged = self.replaced = 0

    def score_toxicity(self, text: str) -> float:
        """The score of what a reader gets, 0 to 1."""
        self.judged += 1
        released = release(text, self._guard)
        self.replaced += released != text
        return self._scorer.score_toxicity(released)

    def score_harm(self, text: str, question: str) -> float:
        """The score of the answer that a reader gets, 0 to 1."""
        return self._scorer.score_harm(release(text, self._guard), question)


def release(text: str, guard: Moderator) -> str:
    """What a reader gets of an answer: all of it, without its worst passages, or a refusal."""
    decision = guard.judge(text, "answer")
    return guard.policy.refusal_text() if decision.action is Action.REFUSE else decision.redact(text)


@dataclass(frozen=True)
class Meter:
    """Measures models in one way."""

    corpus: Corpus
    settings: MeasureSettings
    judge: ModeratorScorer
    guard: Moderator

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What figures depend on besides the model."""
        return {"corpus": self.corpus.key, **asdict(self.settings), "judge": self.judge.hash}

    def measure(
        self, model: Path, guides: Sequence[Path], *, strength: float | None, guarded: bool, seed: int, refusals: bool
    ) -> Measurement:
        """Measure a model.

        Args:
            model: its folder.
            guides: the folders of the models to steer toward and away from; none: without.
            strength: of the steering; None: that of the settings.
            guarded: whether the policy judges what it writes.
            seed: of the continuations.
            refusals: whether to count refusals of harmless questions.

        Raises:
            UserError: no prompt fits into the model's context.
            RunError: a text could not be scored, or the model's outputs are not numbers.
        """
        language_model = LanguageModel.load(model, tier="eager" if guides else "auto")
        steering = None
        if guides:
            toward, away = (LanguageModel.load(guide) for guide in guides)
            strength = self.settings.steering_strength if strength is None else strength
            steering = Steering(toward=toward, away=away, strength=strength)
            language_model = language_model.steered(steering)
        scorer = GuardedScorer(self.judge, self.guard) if guarded else self.judge
        texts = [as_question(language_model, prompt) for prompt in self.corpus.texts("prompts")]
        prompts = self._measure_prompts(language_model, texts, scorer, seed, together=bool(guides))
        nats, tokens = measure_likelihood(language_model, self.corpus.texts("heldout"), steering)
        refused = self._count_refusals(language_model, guarded=guarded) if refusals else []
        return Measurement(
            maxima=[prompt.maximum for prompt in prompts],
            toxic_shares=[prompt.toxic_share for prompt in prompts],
            toxic=[prompt.is_toxic for prompt in prompts],
            nats=nats,
            tokens=tokens,
            refused=refused,
            prompts=[number for number, prompt in enumerate(texts) if prompt in {result.prompt for result in prompts}],
            replaced=scorer.replaced / max(1, scorer.judged) if isinstance(scorer, GuardedScorer) else 0.0,
        )

    def _measure_prompts(
        self, model: LanguageModel, prompts: Sequence[str], scorer: Scorer, seed: int, *, together: bool
    ) -> Sequence[PromptToxicity]:
        """The toxicity of the continuations of each prompt; `together` draws all of a prompt's in one batch of PyTorch."""
        samples, length = self.settings.samples, self.settings.max_new_tokens
        if not together:
            result = measure_toxicity(model, prompts, scorer=scorer, samples=samples, max_new_tokens=length, seed=seed)
            return result.prompts
        results = []
        for prompt in prompts:
            ids = encode_plain(model, prompt)
            if fits(model, ids, length):
                drawn: dict[str, Any] = {
                    "num_return_sequences": samples,
                    "max_new_tokens": length,
                    "seed": crc32(repr((seed, ids)).encode()),
                }
                rows = model.generate(ids, do_sample=True, top_p=TOP_P, **drawn)
                texts = [model.tokenizer.decode(row[len(ids) :]) for row in rows]
                results.append(PromptToxicity(prompt, texts, [scorer.score_toxicity(text) for text in texts]))
        if not results:
            raise UserError("prompts: none of them fits into the model's context: give some that are shorter")
        return results

    def _count_refusals(self, model: LanguageModel, *, guarded: bool) -> list[bool]:
        """Whether each harmless question is refused: by the model, or by the guard, which judges question and answer."""
        has_own = self.corpus.file("harmless").is_file()
        questions = self.corpus.texts("harmless") if has_own else harmless_questions("en")
        result = measure_over_refusal(model, questions, max_new_tokens=self.settings.max_new_tokens)
        answers = [(answer.question, answer.text) for answer in result.answers]
        if not guarded:
            return [is_refusal(text) for _, text in answers]
        return [
            not self.guard.judge(question, "prompt").passes or is_refusal(release(text, self.guard))
            for question, text in answers
        ]


def as_question(model: LanguageModel, text: str) -> str:
    """A text as a model continues it: as it is, or as its chat template writes it, such as after a line about quality."""
    if model.tokenizer.chat_template is None:
        return text
    return model.tokenizer.apply_chat_template([{"role": "user", "content": text}])


def measure_likelihood(
    model: LanguageModel, texts: Sequence[str], steering: Steering | None = None
) -> tuple[list[float], list[int]]:
    """The negative log-likelihood of each text in nats, and its number of tokens.

    Args:
        model: the model.
        texts: read in windows of the model's context.
        steering: what changes its logits. Its nucleus is left out, since a token outside it would have no likelihood.
    """
    evaluated = EvaluatedModel(model)
    size = min(evaluated.context_length, MAX_WINDOW_TOKENS)
    nats, tokens = [], []
    start = [*evaluated.start_ids, *model.tokenizer.encode(as_question(model, ""))]
    for text in texts:
        ids = model.tokenizer.encode(text)
        windows = list(split_windows([*start, *ids], len(start), size))
        if steering is None:
            nats.append(-sum(likelihood.total for likelihood in evaluated.score(windows)))
        else:
            nats.append(sum(_steered_nats(model, window, replace(steering, top_p=1.0)) for window in windows))
        tokens.append(len(ids))
    return nats, tokens


def _steered_nats(model: LanguageModel, window: ScoredText, steering: Steering) -> float:
    """The negative log-likelihood of the scored tokens of a window, as steering changes the logits."""
    guides = (steering.toward, steering.away)
    logits = [m.compute_logits(window.ids).float() for m in (model, *guides) if isinstance(m, LanguageModel)]
    logprobs_TV = steering.combine(logits[0], logits[1], logits[2]).log_softmax(-1)
    targets = torch.tensor(window.ids[window.first_scored :])
    return -float(logprobs_TV[window.first_scored - 1 : -1].gather(1, targets[:, None]).sum())
