"""Distillation: cross-entropy, and the divergence from a teacher at a temperature."""

from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.objectives.distillation import Distillation
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.language_model import LanguageModel
from lmcraft.model.transformer import Transformer
from tests.finetuning.chat import chat_folder
from tests.finetuning.objectives.conformance import CHATS, ObjectiveConformance, encode_answer


class TestDistillation(ObjectiveConformance):
    name = "distillation"
    rows = [{"messages": messages} for messages in CHATS]  # noqa: RUF012

    def settings(self, folder: Path) -> dict[str, Any]:
        if not (folder / "teacher").exists():
            chat_folder(folder / "teacher", seed=1)
        return {"teacher": str(folder / "teacher"), "teacher_share": 0.4, "temperature": 1.5}

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        teacher = LanguageModel.load(Path(run.config.model).parent / "teacher", tier="eager").transformer
        total, t = 0.0, 1.5
        for example in run.data.examples[: run.data.num_examples]:
            ids, begin = encode_answer([*example.messages])
            logits, teacher_logits = (m(ids[None])[0, begin - 1 : -1].double() for m in (model, teacher))
            log_p = logits.log_softmax(-1).gather(1, ids[begin:, None]).sum()
            log_q_t, log_p_t = ((z / t).log_softmax(-1) for z in (teacher_logits, logits))
            total += float(-0.6 * log_p + 0.4 * t * t * (log_q_t.exp() * (log_q_t - log_p_t)).sum())
        return total


def test_a_teacher_is_required() -> None:
    with pytest.raises(UserError, match="teacher='' names no model"):
        Distillation().check()
