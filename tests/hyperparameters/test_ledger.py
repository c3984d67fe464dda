from pathlib import Path

from lmcraft.hyperparameters.ledger import LEDGER, write_ledger
from lmcraft.hyperparameters.trial import Kind, State, Trial

DEFAULT = {"pretrain.rate": 0.02, "pretrain.width": 8}


def trial(number: int, values: dict[str, float], finished: float, rate: float = 0.02, change: str = "") -> Trial:
    point = {"pretrain.rate": rate, "pretrain.width": 8}
    return Trial(
        number=number, point=point, state=State.COMPLETE, values=values, finished=finished, seconds=2.04, change=change
    )


def rows(folder: Path) -> list[list[str]]:
    return [line.split("\t") for line in (folder / LEDGER).read_text().splitlines()]


def test_a_trial_is_kept_if_it_is_better_than_all_that_finished_before(tmp_path: Path) -> None:
    trials = [
        trial(0, {"loss": 3.0}, finished=2),
        trial(1, {"loss": 4.0}, finished=1, rate=0.1, change="faster\tand\nfaster"),
        trial(2, {"loss": 3.0}, finished=3, rate=1 / 3),
        Trial(number=3, point=DEFAULT, state=State.FAILED, error="no memory", finished=4),
        Trial(number=4, point=DEFAULT, state=State.RUNNING),
        Trial(number=5, point=DEFAULT, state=State.COMPLETE, kind=Kind.CONFIRMATION, source=0, values={"loss": 1.0}),
    ]
    write_ledger(tmp_path, trials, {"loss": 1}, DEFAULT)
    assert rows(tmp_path) == [
        ["trial", "change", "settings", "result", "status", "seconds"],
        ["0", "", "the defaults", "3", "kept", "2.0"],
        ["1", "faster and faster", "pretrain.rate=0.1", "4", "kept", "2.0"],
        ["2", "", "pretrain.rate=0.333333", "3", "discarded", "2.0"],
        ["3", "", "the defaults", "no memory", "failed", "0.0"],
        ["4", "", "the defaults", "", "running", "0.0"],
        ["5", "confirms trial 0", "the defaults", "1", "complete", "0.0"],
    ]


def test_with_several_objectives_the_pareto_set_is_kept(tmp_path: Path) -> None:
    values = [(3.0, 5.0), (4.0, 4.0), (2.0, 6.0), (3.0, 6.0), (3.0, 4.0)]
    trials = [trial(n, {"loss": loss, "score": score}, finished=n) for n, (loss, score) in enumerate(values)]
    write_ledger(tmp_path, trials, {"loss": 1, "score": -1}, None)
    assert [(row[3], row[4]) for row in rows(tmp_path)[1:]] == [
        ("loss=3 score=5", "kept"),
        ("loss=4 score=4", "discarded"),
        ("loss=2 score=6", "kept"),
        ("loss=3 score=6", "discarded"),
        ("loss=3 score=4", "discarded"),
    ]
