"""Reward models: -log sigmoid of the margin between the rewards of both answers."""

from math import exp, log

from lmcraft.finetuning.run import FinetuneRun
from lmcraft.model.transformer import Transformer
from tests.finetuning.objectives.conformance import PAIRS, ObjectiveConformance, encode_answer


class TestReward(ObjectiveConformance):
    name = "reward"
    rows = PAIRS

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        total = 0.0
        for example in run.data.examples[: run.data.num_examples]:
            rewards = []
            for answer in (example.chosen, example.rejected):
                ids, _ = encode_answer([*example.prompt, answer])
                rewards.append(float(model.get_submodule("score")(model.hidden_states(ids[None])[0, -1])))
            total -= log(1 / (1 + exp(rewards[1] - rewards[0])))
        return total
