"""A whole comparison on tiny models: what is done is not done again, and strategies can be added."""

from pathlib import Path
from typing import Any

import pytest

from lmcraft.audits.strategies import read_experiment, run_comparison
from lmcraft.commands.finetune import finetune
from lmcraft.commands.pretrain import pretrain
from lmcraft.errors import UserError
from lmcraft.reports.strategies import write_strategies
from tests.audits.strategies.conftest import EXPERIMENT

pytestmark = pytest.mark.usefixtures("scripted_tiers")
BASELINE, GUARD = "[[strategy]]\n", '[[strategy]]\nuse = ["guard"]\n'
STEERING = '[[strategy]]\nuse = ["steering"]\nsteering_strength = 0.5\n'


class ProcessKilledError(Exception):
    """The process died."""


def test_a_comparison_goes_on_where_it_was(experiment_folder: Path) -> None:
    out, calls = experiment_folder / "out", list[str]()

    def run(command: Any, dies_after: int) -> Any:
        def call(config: Any) -> None:
            if len(calls) == dies_after:
                raise ProcessKilledError
            calls.append(config.out.parent.name.rpartition("-")[0])
            command(config)

        return call

    def compare(strategies: str, dies_after: int = -1, **settings: Any) -> Any:
        file = experiment_folder / "experiment.toml"
        file.write_text(EXPERIMENT + strategies)
        commands: Any = {"pretrain": run(pretrain, dies_after), "finetune": run(finetune, dies_after)}
        return run_comparison(read_experiment(file), out, commands, **settings)

    with pytest.raises(ProcessKilledError):
        compare(BASELINE, dies_after=1)
    assert calls == ["baselineseed1"]
    first = compare(BASELINE, seeds=[1])
    assert calls == ["baselineseed1", "hostileafterbaselineseed1"]
    assert first.missing == ["baseline, seed 2"] and first.strategies[0].seeds == [1]
    second = compare(BASELINE + GUARD)
    assert len(calls) == 4 and not second.missing
    baseline, guard = second.strategies
    assert guard.figures["over_refusal"].value == 0.5 > baseline.figures["over_refusal"].value
    assert guard.figures["perplexity"] == baseline.figures["perplexity"]
    assert baseline.figures["processor_seconds"].value > 0
    page = write_strategies(out, second).read_text()
    assert "guard" in page and "hostile" in page and (out / "strategies.svg").read_text().startswith("<svg xmlns")
    assert compare(BASELINE + GUARD) == second and len(calls) == 4
    steered = compare(BASELINE + STEERING, seeds=[1]).strategies[1]
    assert steered.figures["perplexity"] != baseline.figures["perplexity"] and len(calls) == 8
    with pytest.raises(UserError, match="seeds: 7 is none of the experiment's"):
        compare(BASELINE, seeds=[7])


def test_the_judge_must_not_be_the_filter(experiment_folder: Path) -> None:
    (experiment_folder / "judge.toml").write_text((experiment_folder / "policy.toml").read_text())
    file = experiment_folder / "experiment.toml"
    file.write_text(EXPERIMENT + BASELINE)
    with pytest.raises(UserError, match="have the same lexicon"):
        run_comparison(read_experiment(file), experiment_folder / "out", {})
