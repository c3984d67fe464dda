"""The tests of a model that is to have forgotten texts, beside the original model and one that never read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np

from lmcraft.audits.privacy.membership import Attack, TokenScores, attack_scores, auc_with_interval, score_tokens
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Floats, Metric, perplexity, ratio_interval
from lmcraft.tokenizer import Tokenizer
from lmcraft.unlearning.exposure import measure_exposure
from lmcraft.unlearning.pieces import Ids
from lmcraft.unlearning.probes import Question, ask
from lmcraft.unlearning.relearning import compare_relearning
from lmcraft.unlearning.results import Membership, ModelName, Proof

BESIDE_ORIGINAL = "loss, less that of the original model"


@dataclass(frozen=True)
class Tests:
    """What the models are tested on.

    Args:
        models: the original and the unlearned one, and the retrained one if there is another.
        tokenizer: theirs.
        forgotten: token ids of the texts that are to be forgotten, with the token that begins texts.
        forgotten_texts: the same as text.
        unseen: token ids of texts that none of the models was trained on, to compare with.
        unseen_texts: the same as text.
        questions: the probes.
        relearning_steps: of the relearning test; 0: none.
        seed: of random choices.
    """

    models: Mapping[ModelName, Transformer]
    tokenizer: Tokenizer
    forgotten: Sequence[Ids]
    forgotten_texts: Sequence[str]
    unseen: Sequence[Ids]
    unseen_texts: Sequence[str]
    questions: Sequence[Question] = ()
    relearning_steps: int = 50
    seed: int = 0

    @cached_property
    def scores(self) -> Mapping[ModelName, tuple[list[TokenScores], list[TokenScores]]]:
        """Of the forgotten and the unseen texts, by model."""
        return {
            name: (score_tokens(model, self.forgotten), score_tokens(model, self.unseen))
            for name, model in self.models.items()
        }

    def losses(self, name: ModelName) -> Floats:
        """The mean loss of each forgotten text, (N,), in nats."""
        return np.array([score.loss for score in self.scores[name][0]])

    def run(self) -> Proof:
        """Do the tests."""
        unlearned, retrained = self.models["unlearned"], self.models.get("retrained")
        relearning = compare_relearning(
            unlearned, retrained, self.forgotten, self.unseen, self.relearning_steps, seed=self.seed
        )
        probes = ask(self.models, self.tokenizer, self.questions) if self.questions else []
        exposure = measure_exposure(self.models, self.tokenizer, self.forgotten_texts, seed=self.seed)
        return Proof(self._membership(), relearning, probes, exposure, *self._cost())

    def _membership(self) -> list[Membership]:
        rows = self._beside_retrained() if "retrained" in self.models else []
        for name in self.models:
            for attack in get_args(Attack):
                members, others = self._attack(name, attack)
                if len(others):
                    row = Membership(attack, f"{name}: forgotten", f"{name}: unseen", auc_with_interval(members, others))
                    rows.append(row)
        return rows

    def _beside_retrained(self) -> list[Membership]:
        """Whether an attack tells which of the two models it looks at by the forgotten texts."""
        pairs = {
            attack: [self._attack(name, attack)[0] for name in ("unlearned", "retrained")] for attack in get_args(Attack)
        }
        before = self.losses("original")
        changes = {BESIDE_ORIGINAL: [before - self.losses(name) for name in ("unlearned", "retrained")]}
        return [
            Membership(attack, "unlearned: forgotten", "retrained: forgotten", auc_with_interval(*pair), is_verdict=True)
            for attack, pair in (pairs | changes).items()
        ]

    def _attack(self, name: ModelName, attack: Attack) -> tuple[Floats, Floats]:
        """The scores of the forgotten and of the unseen texts."""
        forgotten, unseen = self.scores[name]
        return attack_scores(forgotten, attack, self.forgotten_texts), attack_scores(unseen, attack, self.unseen_texts)

    def _cost(self) -> tuple[dict[ModelName, Metric], Metric | None]:
        """The perplexity on unseen texts by model, and the cost of forgetting."""
        if not self.unseen:
            return {}, None
        sums = {name: np.array([-score.logprobs.sum() for score in unseen]) for name, (_, unseen) in self.scores.items()}
        counts = np.array([len(score.logprobs) for score in self.scores["original"][1]])
        perplexities = {name: ratio_interval(values, counts).mapped(perplexity) for name, values in sums.items()}
        return perplexities, ratio_interval(sums["unlearned"] - sums["original"], counts)
