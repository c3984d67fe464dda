"""Running steps: results, the same for any number of workers; what is finished stays, and what nobody reads goes."""

from pathlib import Path

import pytest

from lmcraft.preparation.contracts import Executor
from lmcraft.preparation.execution.journal import Journal, total_tally
from lmcraft.preparation.execution.processes import Processes
from lmcraft.preparation.execution.steps import run_steps
from tests.preparation.execution.in_process import InProcess
from tests.preparation.execution.toy import add_step, outputs, read_step

SUM = sum(number**2 for number in range(60))


@pytest.mark.parametrize("executor", [InProcess(), Processes(1, 60), Processes(3, 60)], ids=["in-process", "one", "three"])
def test_any_executor_gives_the_same(tmp_path: Path, executor: Executor) -> None:
    steps = [read_step(), add_step(), add_step("total", "add", 3)]
    results = run_steps(steps, tmp_path, executor, keep=["read", "add"])
    assert [len(finished) for finished in results.values()] == [6, 3, 1]
    assert results["total"][0].values == {"total": SUM}
    assert [result.unit.number for result in results["read"]] == list(range(6))
    reference = run_steps(steps, tmp_path / "other", InProcess(), keep=["read", "add"])
    assert outputs(tmp_path, results) == outputs(tmp_path / "other", reference)
    tally = total_tally(results["read"], tmp_path)
    assert (tally.counts, tally.histograms) == ({"read/documents": 60}, {"numbers": [60]})


def test_nothing_is_done_twice_and_a_changed_step_redoes_what_follows(tmp_path: Path) -> None:
    runs = tmp_path / "runs.txt"
    trace = str(tmp_path)

    def run(plus: int) -> dict[str, str]:
        steps = [read_step(trace=trace), add_step(trace=trace, plus=plus), add_step("total", "add", 3, trace=trace)]
        return outputs(tmp_path / "work", run_steps(steps, tmp_path / "work", InProcess()))

    first = run(0)
    assert len(runs.read_text().split("\n")) == 1 + 6 + 3 + 1
    assert run(0) == first
    assert len(runs.read_text().split("\n")) == 1 + 6 + 3 + 1
    runs.unlink()
    # The outputs of `read` were deleted, so the units of the changed step have them done again.
    assert list(run(5).values()) == [f"{SUM + 15}\n"]
    assert len(runs.read_text().split("\n")) == 1 + 6 + 3 + 1


def test_outputs_go_when_no_step_to_come_reads_them(tmp_path: Path) -> None:
    results = run_steps([read_step(), add_step(), add_step("total", "read", 6)], tmp_path, InProcess())
    journal = Journal(tmp_path)
    assert not any(journal.has_outputs(result.unit.key) for result in results["read"])
    assert all(journal.has_outputs(result.unit.key) for name in ("add", "total") for result in results[name])
    assert all(journal.find(result.unit) for result in results["read"])
