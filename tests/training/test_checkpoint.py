"""Checkpoints written in the background."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lmcraft.errors import RunError, UserError
from lmcraft.folder import ModelFolder, write_json_lines
from lmcraft.training.checkpoint import PROGRESS, STATE, Checkpoints, Progress, step_to_resume


def blank(name: str, size: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(size, dtype=dtype)


def test_training_continues_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    checkpoints, go_on = Checkpoints(ModelFolder(tmp_path)), threading.Event()
    state, progress = {"w/momentum": torch.ones(3, 2), "w/step": torch.tensor(5.0)}, Progress(step=7, best_step=7)

    def save_model(folder: Path) -> None:
        assert go_on.wait(timeout=60)
        (folder / "config.json").write_text("{}")

    checkpoints.save(progress, state, save_model)
    assert checkpoints.steps() == []  # absent until it is complete
    state["w/momentum"].zero_()
    progress.step = 8
    go_on.set()
    checkpoints.wait()
    assert checkpoints.steps() == [7]
    progress, loaded = checkpoints.load(7, blank)
    assert progress.step == 7
    assert torch.equal(loaded["w/momentum"], torch.ones(3, 2)) and loaded["w/step"].item() == 5.0


def test_only_the_latest_and_best_checkpoints_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(ModelFolder(tmp_path))
    (checkpoints.folder / ".state-000001").mkdir(parents=True)  # left by a run that was killed
    for step, best in ((2, 2), (4, 2), (6, 2)):
        checkpoints.save(Progress(step=step, best_step=best), {"w/step": torch.tensor(1.0)}, lambda folder: None)
    checkpoints.wait()
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["step-000002", "step-000006"]


def test_a_writing_error_is_raised_by_the_next_save(tmp_path: Path) -> None:
    checkpoints = Checkpoints(ModelFolder(tmp_path))
    checkpoints.save(Progress(step=1), {}, lambda folder: None)
    checkpoints.wait()

    def fail(folder: Path) -> None:
        raise OSError("no space left")

    checkpoints.save(Progress(step=2), {"w/step": torch.tensor(1.0)}, fail)
    with pytest.raises(RunError, match=r"no space left.*checkpoint of step 1 is intact"):
        checkpoints.save(Progress(step=3), {}, lambda folder: None)
    assert [path.name for path in checkpoints.folder.iterdir()] == ["step-000001"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_was_moved_is_not_created_anew(tmp_path: Path, replaced: bool) -> None:
    checkpoints = Checkpoints(ModelFolder(tmp_path / "run"))
    checkpoints.save(Progress(step=1), {}, lambda folder: None)
    checkpoints.wait()
    (tmp_path / "run").rename(tmp_path / "moved")
    if replaced:  # by another run
        checkpoints.path(0).mkdir(parents=True)
    with pytest.raises(RunError, match="/step-000001' is gone, since the folder of the run was moved or removed"):
        checkpoints.save(Progress(step=2), {}, lambda folder: None)
    assert checkpoints.folder.exists() is replaced and Checkpoints(ModelFolder(tmp_path / "moved")).steps() == [1]


def saved(folder: Path, best: int = 3) -> Checkpoints:
    """Checkpoints of the steps 3 and 6."""
    checkpoints = Checkpoints(ModelFolder(folder))
    for step in (3, 6):
        state = {"w/step": torch.tensor(float(step))}
        progress = Progress(step=step, best_step=best)
        checkpoints.save(progress, state, lambda folder: (folder / "weights").write_text("weights") and None, "seed = 1\n")
        checkpoints.wait()
    return checkpoints


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def flip(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1] + b"~")


def one_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut progress": (lambda step: cut(step / PROGRESS), "progress.json is missing or cannot be read"),
    "no progress": (lambda step: (step / PROGRESS).unlink(), "progress.json is missing or cannot be read"),
    "empty progress": (lambda step: (step / PROGRESS).write_text(""), "progress.json is missing or cannot be read"),
    "other JSON": (lambda step: (step / PROGRESS).write_text("[1]"), "progress.json is missing or cannot be read"),
    "progress of another step": (lambda step: shutil.copy(step.with_name("step-000003") / PROGRESS, step), "of step 3"),
    "no state": (lambda step: shutil.rmtree(step / STATE), "training_state/.* is missing"),
    "a part of the state is missing": (lambda step: one_file(step / STATE).unlink(), "training_state/.* is missing"),
    "cut state": (lambda step: cut(one_file(step / STATE)), "training_state/.* is not the file that was written"),
    "a flipped bit": (lambda step: flip(one_file(step / STATE)), "training_state/.* is not the file that was written"),
    "no weights": (lambda step: (step / "weights").unlink(), "weights is missing"),
    "cut weights": (lambda step: cut(step / "weights"), "weights is not the file that was written"),
    "empty folder": (lambda step: (shutil.rmtree(step), step.mkdir()), "progress.json is missing or cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_older_one_is_offered(tmp_path: Path, damage: str) -> None:
    checkpoints = saved(tmp_path)
    assert step_to_resume(ModelFolder(tmp_path), resume=True) == 6
    action, reason = DAMAGES[damage]
    action(checkpoints.path(6))
    message = f"step-000006' is damaged: .*{reason}; the checkpoint of step 3 is whole: remove '.*step-000006' to continue"
    with pytest.raises(UserError, match=message):
        step_to_resume(ModelFolder(tmp_path), resume=True)
    shutil.rmtree(checkpoints.path(6))
    assert step_to_resume(ModelFolder(tmp_path), resume=True) == 3
    progress, state = checkpoints.load(3, blank)
    assert progress.step == 3 and state["w/step"].item() == 3.0


def test_damaged_best_weights_are_named_before_the_run(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    cut(checkpoints.path(3) / "weights")
    with pytest.raises(
        UserError, match=r"step-000003' is damaged: weights .*; it holds the best weights so far: restore it, or"
    ):
        step_to_resume(ModelFolder(tmp_path), resume=True)
    shutil.rmtree(checkpoints.path(6))
    with pytest.raises(UserError, match="there is no other whole one"):
        step_to_resume(ModelFolder(tmp_path), resume=True)


def test_other_names_are_no_checkpoints(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    shutil.copytree(checkpoints.path(6), checkpoints.folder / "step-000006.bak")
    for name in ("step-final", "step-", "step-7", "step-000009 (copy)", "step-000008~"):
        (checkpoints.folder / name).mkdir()
    (checkpoints.folder / "step-000010").write_text("a file")
    assert checkpoints.steps() == [3, 6] and step_to_resume(ModelFolder(tmp_path), resume=True) == 6


def test_the_settings_stay_in_the_checkpoint(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    assert checkpoints.settings(6).read_text() == "seed = 1\n"
    checkpoints.copy_model(6, tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["weights"]


def record(folder: Path, *ids: str) -> None:
    """Write a history with a start of each id."""
    write_json_lines(ModelFolder(folder).history, [{"id": name, "contents": {}} for name in ids])


def copy_checkpoint(source: Path, step: int, target: Path, target_step: int | None = None) -> Path:
    path = Checkpoints(ModelFolder(target)).path(step if target_step is None else target_step)
    return Path(shutil.copytree(Checkpoints(ModelFolder(source)).path(step), path))


def hashes(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("step", [1, 6, 9, 2000000])
def test_a_checkpoint_of_another_run_is_named_and_the_own_latest_is_offered(tmp_path: Path, step: int) -> None:
    for name in ("run", "other"):
        record(tmp_path / name, name)
        saved(tmp_path / name)
    run = ModelFolder(tmp_path / "run")
    if step == 6:  # it takes the place of the own one
        shutil.rmtree(Checkpoints(run).path(6))
    foreign = copy_checkpoint(tmp_path / "other", 6, run.path, step)
    before, own = hashes(tmp_path), Checkpoints(run).path(3 if step == 6 else 6)
    with pytest.raises(UserError) as error:
        step_to_resume(run, resume=True)
    assert str(error.value) == (
        f"'{foreign}' belongs to another run: move it elsewhere, and --resume continues from '{own}', the latest checkpoint "
        "of this run"
    )
    assert hashes(tmp_path) == before
    foreign.rename(tmp_path / "elsewhere")
    assert step_to_resume(run, resume=True) == int(own.name[5:])


def test_a_checkpoint_belongs_to_a_copy_of_its_run_until_the_copy_is_resumed(tmp_path: Path) -> None:
    record(tmp_path / "run", "first", "second")
    saved(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    (tmp_path / "run").rename(tmp_path / "moved")
    for name in ("copy", "moved"):
        assert step_to_resume(ModelFolder(tmp_path / name), resume=True) == 6
    record(tmp_path / "copy", "first", "second", "resumed")
    checkpoints = Checkpoints(ModelFolder(tmp_path / "copy"))
    checkpoints.save(Progress(step=9, best_step=3), {}, lambda folder: None)
    checkpoints.wait()
    assert step_to_resume(ModelFolder(tmp_path / "copy"), resume=True) == 9
    copy_checkpoint(tmp_path / "copy", 9, tmp_path / "moved")
    with pytest.raises(UserError, match=r"step-000009' belongs to another run: .* continues from '.*step-000006'"):
        step_to_resume(ModelFolder(tmp_path / "moved"), resume=True)


def test_a_run_without_a_whole_checkpoint_says_so_beside_a_foreign_one(tmp_path: Path) -> None:
    for name in ("run", "other"):
        record(tmp_path / name, name)
    saved(tmp_path / "other")
    for step in (3, 6):
        copy_checkpoint(tmp_path / "other", step, tmp_path / "run")
    run = ModelFolder(tmp_path / "run")
    with pytest.raises(
        UserError, match=r"3' and '.*6' belong to another run, and this run has no .* yet: move them elsewhere"
    ):
        step_to_resume(run, resume=True)
    with pytest.raises(UserError, match="already holds a run"):
        step_to_resume(run, resume=False)
    run.history.unlink()
    with pytest.raises(UserError, match=r"history\.jsonl' is missing or damaged"):
        step_to_resume(run, resume=True)


def test_saving_removes_no_checkpoint_of_another_run(tmp_path: Path) -> None:
    record(tmp_path / "other", "other")
    saved(tmp_path / "other")
    record(tmp_path / "run", "run")
    checkpoints = Checkpoints(ModelFolder(tmp_path / "run"))
    for step in (1, 2, 3, 4):
        if step == 3:  # copied while the run goes on
            foreign = copy_checkpoint(tmp_path / "other", 6, tmp_path / "run")
        checkpoints.save(Progress(step=step, best_step=1), {}, lambda folder: None)
        checkpoints.wait()
    assert checkpoints.steps() == [1, 4] and checkpoints.foreign_steps() == [6] and (foreign / PROGRESS).is_file()
