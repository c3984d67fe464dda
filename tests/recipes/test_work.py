"""The folder of a recipe: never mixed with other things or options, and an interrupted run goes on."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from recipes.work import Figure, Work

RECIPE = Path("some-recipe")


class Recorded(Work):
    """Notes the commands instead of running them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(RECIPE, folder)
        self.commands: list[list[str]] = []

    def lmcraft(self, *arguments: object, allow: Sequence[int] = (0,)) -> int:
        self.commands.append([str(argument) for argument in arguments])
        return 0


def write_run(folder: Path, state: str, *, checkpoint: bool) -> None:
    (folder / "lmcraft" / "checkpoints").mkdir(parents=True)
    (folder / "lmcraft" / "status.json").write_text(json.dumps({"state": state}))
    if checkpoint:
        (folder / "lmcraft" / "checkpoints" / "step-000010").mkdir()


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit, match="no recipe wrote"):
        Work(RECIPE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit, match="is a file"):
        Work(RECIPE, tmp_path / "file")


def test_other_options_are_refused(tmp_path: Path) -> None:
    Work(RECIPE, tmp_path / "work", options={"depth": 3})
    Work(RECIPE, tmp_path / "work", options={"depth": 3})
    with pytest.raises(SystemExit, match=r"depth=3, not .*depth=4"):
        Work(RECIPE, tmp_path / "work", options={"depth": 4})


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(SystemExit, match="damaged"):
        Work(RECIPE, tmp_path)


def test_time_adds_up_over_starts(tmp_path: Path) -> None:
    Work(RECIPE, tmp_path)
    record = json.loads((tmp_path / "recipe.json").read_text())
    (tmp_path / "recipe.json").write_text(json.dumps(record | {"seconds": 600.0, "processor_seconds": 1200.0}))
    Work(RECIPE, tmp_path).finish([Figure("accuracy", "guessing", 0.5, 0.9)])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["minutes"] >= 10
    assert results["processor_minutes"] >= 20


@pytest.mark.parametrize(
    ("state", "checkpoint", "command"),
    [
        ("", False, ["pretrain", "some-recipe/pretrain.toml", "--out", "base"]),
        ("running", True, ["pretrain", "some-recipe/pretrain.toml", "--out", "base", "--resume"]),
        ("stopped", True, ["pretrain", "some-recipe/pretrain.toml", "--out", "base", "--resume"]),
        ("running", False, ["pretrain", "some-recipe/pretrain.toml", "--out", "base"]),
        ("finished", True, None),
    ],
    ids=["new", "killed", "stopped", "killed-early", "finished"],
)
def test_training_goes_on(tmp_path: Path, state: str, checkpoint: bool, command: list[str] | None) -> None:
    work = Recorded(tmp_path / "work")
    if state:
        write_run(work.folder / "base", state, checkpoint=checkpoint)
    assert work.train("pretrain", "pretrain.toml", "base") == work.folder / "base"
    assert work.commands == ([] if command is None else [command])
