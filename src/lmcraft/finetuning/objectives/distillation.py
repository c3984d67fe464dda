"""Distillation (arXiv 1503.02531): cross-entropy of the answers, and the KL divergence from a teacher's probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmcraft.errors import UserError
from lmcraft.finetuning.objectives.base import LossInputs, setting
from lmcraft.finetuning.objectives.sft import AnswerObjective

if TYPE_CHECKING:
    from lmcraft.lineage.document import Origin
    from lmcraft.training.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Distillation(AnswerObjective):
    """(1 - s) * cross-entropy + s * t^2 * KL(teacher || model) at temperature t (section 2)."""

    summary = "answer as the examples and a teacher model do"
    paper = "1503.02531"

    teacher: str = setting("", "Model to learn from; it must have the same vocabulary.")
    teacher_share: float = setting(
        0.5, "Weight of the divergence from the teacher; the cross-entropy has the rest.", at_least=0, at_most=1
    )
    temperature: float = setting(2.0, "Temperature that softens the probabilities of both models.", above=0)

    def check(self) -> None:
        super().check()
        if not self.teacher:
            raise UserError("teacher='' names no model to learn from: give --teacher a model with the same vocabulary")

    def hash_contents(self) -> dict[str, str]:
        from lmcraft.model_source import open_model

        with open_model(self.teacher) as source:
            return super().hash_contents() | {"teacher": source.hash_contents()}

    def parent_origins(self) -> list[Origin]:
        from lmcraft.model_source import open_model

        with open_model(self.teacher) as source:
            return [source.origin("teacher")]

    def build_loss(self, inputs: LossInputs) -> Objective:
        from lmcraft.finetuning.objectives.divergence import CrossEntropyAndDivergence

        teacher = inputs.load_teacher(self.teacher)
        return CrossEntropyAndDivergence(teacher, 1 - self.teacher_share, self.teacher_share, self.temperature)
