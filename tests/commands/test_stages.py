"""The commands of a trial: the real ones, in this process."""

from pathlib import Path

import pytest

from lmcraft.commands.search import stage_commands
from lmcraft.evaluation.task import TaskConfig
from lmcraft.hyperparameters.config import SearchConfig
from lmcraft.hyperparameters.plan import Plan
from lmcraft.hyperparameters.running import read_result, train
from lmcraft.hyperparameters.trial import Trial, TrialResult
from tests.tiny import TEXT

STEPS = 4


def test_a_trial_prepares_pretrains_and_evaluates(tmp_path: Path) -> None:
    text, task = tmp_path / "text.txt", tmp_path / "seen.toml"
    text.write_text(TEXT[:20_000], encoding="utf-8")
    task.write_text(TaskConfig("perplexity", str(text)).to_toml())
    tables = {
        "prepare": {"sources": [str(text)], "validation": 0.2, "tokenizer_type": "characters", "split": "tail"},
        "pretrain": {
            "data": "{prepare}",
            "max_steps": STEPS,
            "eval_every": 1,
            "model": {"hidden_size": {"choices": [16, 32]}},
            **{"depth": 1, "batch_size": 2, "sequence_length": 32, "precision": "fp32", "attention": "matmul"},
        },
        "evaluate": {"model": "{pretrain}", "tasks": [str(task)], "precision": "fp32"},
    }
    objectives = ("bits_per_byte", "seen/bits_per_byte", "bytes")
    config = SearchConfig(out=tmp_path / "out", sampler="random", promotion="asha", min_steps=2, objectives=objectives)
    plan = Plan.build(config, tables, stage_commands())
    plan.check()
    assert plan.promoter.rungs == (2, STEPS)

    def call(target: int) -> TrialResult:
        trial = Trial(number=0, point={"pretrain.model.hidden_size": 32}, target_step=target)
        return train(plan.pipeline, trial, tmp_path / "0", lambda result: None)

    paused, result = call(2), call(0)
    assert (paused.step, [point.step for point in paused.curve], paused.values) == (2, [1, 2], {})
    assert (result.step, [point.step for point in result.curve]) == (STEPS, [1, 2, 3, 4])
    assert paused.tokens == result.tokens == 2 * 2 * 32
    assert result.values["bits_per_byte"] == result.curve[-1].values["bits_per_byte"]
    assert result.holdout["bits_per_byte"] == pytest.approx(result.values["bits_per_byte"], rel=0.2)
    assert result.holdout["bits_per_byte"] != result.values["bits_per_byte"]
    assert result.values["seen/bits_per_byte"] > 0 and result.values["bytes"] > 32 * 32 * 4
    told = read_result(plan.pipeline, Trial(number=0, point={"pretrain.model.hidden_size": 32}), tmp_path / "0")
    assert told.values == result.values and told.tokens == 2 * result.tokens
