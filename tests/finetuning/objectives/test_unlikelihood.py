"""Unlikelihood of rejected answers: the loss of pairs against the formula, and what is left out of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.finetuning.encoding import ExampleEncoder
from lmcraft.finetuning.examples import Preference
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.objectives.unlikelihood import Unlikelihood
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import to_device
from tests.finetuning.chat import chat_tokenizer, message
from tests.finetuning.objectives.conformance import PAIRS, ObjectiveConformance, answer_log_probs

TOKENIZER = chat_tokenizer()
ENCODER = ExampleEncoder(TOKENIZER, [end] if (end := TOKENIZER.turn_end_token_id) is not None else [])


def encode(chosen: str, rejected: str) -> list[list[int]]:
    """The targets of both answers."""
    example = Preference((message("user", "hi"),), message("assistant", chosen), message("assistant", rejected))
    encoded = Unlikelihood().encode_example(example, ENCODER, Labels(), 0)
    assert encoded.document_ids is not None
    return [[int(target) for target in encoded.targets[encoded.document_ids == n] if target != IGNORE_INDEX] for n in (0, 1)]


class TestUnlikelihood(ObjectiveConformance):
    name = "unlikelihood"
    rows = PAIRS

    def settings(self, folder: Path) -> dict[str, float]:
        return {"unlikelihood_weight": 0.5}

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        total = 0.0
        for example in run.data.examples[: run.data.num_examples]:
            chosen, rejected = (
                answer_log_probs(model, [*example.prompt, answer]) for answer in (example.chosen, example.rejected)
            )
            total += float(-chosen.mean())
            rejected = rejected[:-1]  # the token that ends it
            total -= 0.5 * float(torch.log(1 - rejected.exp()).mean())
        return total


def test_answers_that_begin_alike_share_tokens_that_stay_likely() -> None:
    chosen, rejected = encode("red fox green", "red fox blue dog")
    assert TOKENIZER.decode(chosen) == "red fox green"
    assert TOKENIZER.decode(rejected).strip() == "blue dog"


@pytest.mark.parametrize(("chosen", "rejected"), [("red fox", "red"), ("red", "red fox")])
def test_an_answer_that_begins_the_other(chosen: str, rejected: str) -> None:
    _, left = encode(chosen, rejected)
    assert TOKENIZER.decode(left).strip() == ("fox" if rejected == "red fox" else "")


def test_a_step_raises_the_chosen_answer_and_lowers_the_rejected_one(tmp_path: Path) -> None:
    case = TestUnlikelihood()
    trainer, run = case.build(tmp_path, "sign", batch_size=4, micro_batch_size=4)
    model, example = trainer.model, run.data.examples[0]

    def measure() -> list[float]:
        model.eval()
        with torch.no_grad():
            answers = [answer_log_probs(model, [*example.prompt, answer]) for answer in (example.chosen, example.rejected)]
        return [float(log_probs.mean()) for log_probs in answers]

    before = measure()
    for step in range(20):
        trainer.gradients(step)
        trainer.optimizer.step(1.0)
    after = measure()
    assert after[0] > before[0] and after[1] < before[1]


def test_weight_0_is_supervised_learning_of_the_chosen_answers(tmp_path: Path) -> None:
    case = TestUnlikelihood()
    trainer, run = case.build(tmp_path, "zero", batch_size=4, micro_batch_size=4)
    objective = replace(run.objective, unlikelihood_weight=0.0)
    batch = to_device(trainer.training.batch(range(4)), trainer.model.device)
    chosen = replace(batch, targets=batch.targets.masked_fill(batch.document_ids != 0, IGNORE_INDEX))
    torch.testing.assert_close(objective.loss(trainer.model, batch), objective.loss(trainer.model, chosen))
