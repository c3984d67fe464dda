"""A search in its folder: which one begins, which one continues, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmcraft.energy.meter import open_meter
from lmcraft.energy.record import EnergyRecord
from lmcraft.errors import RunError, UserError
from lmcraft.hyperparameters.config import SearchConfig
from lmcraft.hyperparameters.energy import record_waste
from lmcraft.hyperparameters.search import DATABASE, Search
from lmcraft.hyperparameters.store import TrialStore
from lmcraft.hyperparameters.tables import sqlite_url
from lmcraft.hyperparameters.trial import Kind, State
from lmcraft.quantities import EnergyAmount
from tests.hyperparameters.fakes import REFUSING
from tests.hyperparameters.pipelines import SPACE
from tests.hyperparameters.stage_commands import COMMANDS, JOULES_PER_STEP, REPEATED_JOULES, STEPS


def write_space(folder: Path, text: str = SPACE) -> Path:
    file = folder / "space.toml"
    file.write_text(text.replace("DATA", str(folder)), encoding="utf-8")
    return file


def open_search(folder: Path, *, commands: Any = COMMANDS, **settings: Any) -> Search:
    """A search in `folder/out`, begun or continued."""
    settings = {"out": folder / "out", "sampler": "random", **settings}
    if not settings.get("resume"):
        settings = {"space": write_space(folder), **settings}
    return Search.open(SearchConfig.from_settings(**settings), commands)


def test_a_search_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=6, workers=2, promotion="asha", confirm=1)
    assert search.run() == ""
    trials = search.store.trials()
    searched = [trial for trial in trials if trial.kind is Kind.TRIAL]
    assert len(searched) == 6 and {trial.state for trial in trials} == {State.PAUSED, State.COMPLETE}
    assert all(trial.step == (trial.target_step or STEPS) for trial in trials)
    assert (tmp_path / "out" / "trials.tsv").read_text(encoding="utf-8").count("\n") == 1 + len(trials)
    again = open_search(tmp_path, resume=True)
    assert again.run() == "" and again.store.trials() == trials  # nothing is left to do
    larger = open_search(tmp_path, resume=True, trials=8)
    larger.run()
    first, second = EnergyRecord.read(tmp_path / "out" / "energy.json").rows  # of the two that had something to do
    assert first.kind == second.kind == "search" and first.energy.joules > 0 < second.energy.joules
    drawn = sum(trial.energy_kwh for trial in larger.store.trials())
    assert 0 < drawn < 1.01 * (first.energy + second.energy).kwh  # that of the trials is a part of it
    total = record_waste(tmp_path / "out", larger.store.trials())
    assert total is not None and set(total.wasted) == {"trials that were stopped early"} and 0 < total.share_wasted < 1
    assert sum(trial.kind is Kind.TRIAL for trial in larger.store.trials()) == 8
    assert "trials = 8" in (tmp_path / "out" / "search.toml").read_text(encoding="utf-8")


def test_a_search_in_which_all_trials_fail_says_why(tmp_path: Path) -> None:
    search = open_search(tmp_path, commands=REFUSING, trials=30)
    with pytest.raises(
        UserError, match=r"the first 3 trials failed: width=\d+ does not fit the data: use 7 \(see .*0000/log"
    ):
        search.run()
    assert len(search.store.trials()) == 3
    log = tmp_path / "out" / "trials" / "0000" / "log.txt"
    assert "does not fit the data" in log.read_text(encoding="utf-8")


def test_a_search_without_a_result_has_failed(tmp_path: Path) -> None:
    search = open_search(tmp_path, commands=REFUSING, trials=2)  # too few to give up before the end
    with pytest.raises(RunError, match=r"all 2 trials failed, the first one with: width=\d+ does not fit the data"):
        search.run()


@pytest.mark.parametrize("settings", [{"objectives": ("energy_kwh",)}, {"energy_budget": EnergyAmount(7200)}])
def test_energy_needs_a_meter(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMCRAFT_METER", "none")
    open_meter.cache_clear()
    try:
        with pytest.raises(
            UserError, match=r"(objectives=energy_kwh|energy_budget=2Wh) needs a meter, and LMCRAFT_METER=none"
        ):
            open_search(tmp_path, **settings)
        assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
    finally:
        open_meter.cache_clear()


def test_a_search_that_minimizes_energy_reads_what_its_runs_have_drawn(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=2, objectives=("energy_kwh",), confirm=0)
    assert search.run() == ""
    expected = (STEPS * JOULES_PER_STEP - REPEATED_JOULES) / 3.6e6
    assert all(trial.values == {"energy_kwh": pytest.approx(expected)} for trial in search.store.trials())


def test_the_energy_budget_counts_all_workers_and_restarts(tmp_path: Path) -> None:
    search = open_search(tmp_path, trials=3, energy_budget=EnergyAmount(1e-3), workers=2)
    assert search.run() == "energy_budget=0.001J is used up"
    resumed = open_search(tmp_path, trials=3, resume=True, energy_budget=EnergyAmount(1e-3))
    count = len(search.store.trials())
    assert resumed.run() == "energy_budget=0.001J is used up" and len(resumed.store.trials()) == count


def test_a_search_is_not_begun_twice(tmp_path: Path) -> None:
    open_search(tmp_path)
    with pytest.raises(UserError, match="already holds a search: add --resume to continue it"):
        open_search(tmp_path)


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"is not empty, and holds no search \(thesis.txt\): choose another --out"):
        open_search(tmp_path)
    with pytest.raises(UserError, match="is a file, not a folder"):
        open_search(tmp_path, out=tmp_path / "out" / "thesis.txt")


def test_what_cannot_be_continued(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no search: leave out --resume to begin one"):
        open_search(tmp_path, resume=True)
    with pytest.raises(UserError, match="there is no space to search: name its file"):
        Search.open(SearchConfig(out=tmp_path / "out"), COMMANDS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": "tpe"}, "sampler=tpe differs from random of the search in"),
        ({"seed": 2}, "seed=2 differs from 1"),
        ({"holdout": 0.2}, "holdout=0.2 differs from 0.5"),
        ({"promotion": "none"}, "promotion=none differs from power-law"),
    ],
)
def test_a_setting_that_decides_which_trials_there_are_stays(tmp_path: Path, change: Any, message: str) -> None:
    open_search(tmp_path)
    with pytest.raises(UserError, match=message):
        open_search(tmp_path, resume=True, **change)


def test_the_space_stays(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    other = write_space(tmp_path, SPACE.replace("[8, 16]", "[8, 16, 24]"))
    with pytest.raises(
        UserError, match=r"pretrain.width=.*24.* differs from .*\[8, 16\].* of the search in .*: continue with"
    ):
        open_search(tmp_path, resume=True, space=other)
    assert open_search(tmp_path, resume=True, space=write_space(tmp_path)).store.settings() == search.store.settings()


def test_a_search_is_continued_where_its_data_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first / "data", second):
        folder.mkdir(parents=True)
    monkeypatch.chdir(first)
    space = write_space(first, SPACE.replace("DATA", "data"))
    open_search(tmp_path, space=space)
    monkeypatch.chdir(second)
    with pytest.raises(
        UserError, match=f"'data' does not exist here: restore it, or continue in '{first}', where the search"
    ):
        open_search(tmp_path, resume=True)
    (second / "data").mkdir()
    open_search(tmp_path, resume=True)


def test_a_search_that_was_killed_while_it_began(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    TrialStore.open(sqlite_url(tmp_path / "out" / DATABASE), "out").close()  # killed before the search was recorded
    search = open_search(tmp_path, trials=7)
    (tmp_path / "out" / "search.toml").unlink()  # killed after that
    with pytest.raises(UserError, match="search 'out' exists: add --resume"):
        open_search(tmp_path, trials=7)
    again = open_search(tmp_path, resume=True)
    assert again.plan.config.trials == 7 and again.store.settings() == search.store.settings()
    assert (tmp_path / "out" / "search.toml").exists()


def test_another_machine_joins_through_the_storage(tmp_path: Path, postgresql_url: str) -> None:
    (tmp_path / "first").mkdir()
    name = tmp_path.name  # of the search: the databases of other tests have theirs
    first = open_search(tmp_path / "first", out=tmp_path / "first" / name, storage=postgresql_url, trials=3)
    there = tmp_path / "second" / name
    second = Search.open(SearchConfig(out=there, storage=postgresql_url, resume=True, workers=2), COMMANDS)
    assert second.plan.config == replace(first.plan.config, out=there, space=None, resume=True, workers=2)
    first.run()
    assert second.store.trials() == first.store.trials()
    with pytest.raises(UserError, match=f"search '{name}' exists: add --resume"):
        open_search(tmp_path / "first", out=tmp_path / name, storage=postgresql_url)
    with pytest.raises(UserError, match="there is no search 'unknown' in the storage"):
        Search.open(SearchConfig(out=tmp_path / "unknown", storage=postgresql_url, resume=True), COMMANDS)
    assert not (tmp_path / name).exists() and not (tmp_path / "unknown").exists()


def test_a_password_is_not_written(tmp_path: Path, postgresql_url: str) -> None:
    storage = postgresql_url.replace("tester@", "tester:secret@")
    search = open_search(tmp_path, out=tmp_path / tmp_path.name, storage=storage)
    text = (tmp_path / tmp_path.name / "search.toml").read_text(encoding="utf-8")
    assert "secret" not in text + str(search.store.settings()) and "tester@/postgres" in text


def test_an_sqlite_file_is_for_one_machine(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    search.store.lease("elsewhere/boot/ns:12:34", search.plan.scheduler.decide)
    with pytest.raises(
        UserError, match=r"trial 0 is held by a worker of another machine \('elsewhere'\), and SQLite is for one"
    ):
        search.run()
