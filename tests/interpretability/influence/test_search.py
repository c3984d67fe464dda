"""The documents that taught a text."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence import search
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.replay import Replay, Trajectory
from lmcraft.interpretability.influence.search import find_documents
from lmcraft.interpretability.influence.training_run import TrainingRun


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(search, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(search, "MIN_RANDOM", 3)
    return tmp_path / "influence"


def test_each_method_names_documents_and_replay_is_checked(
    run_folder: ModelFolder, run: TrainingRun, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Documents(run.dataset).text(12)[:40]
    influence = find_documents(run_folder, text, count=3)
    assert influence.methods == search.METHODS
    assert not influence.omitted
    assert influence.step == run.steps
    assert influence.document_count == run.document_count
    scores = [document.scores["replay"] for document in influence.documents]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0
    assert influence.documents[0].excerpt
    assert influence.documents[0].source.rpartition(":")[0].endswith("text.txt")
    assert influence.metasmoothness is not None
    assert [check.subject.partition(" (")[2] for check in influence.checks] == ["replay)", "ekfac)", "cosine)"]
    assert all(len(check.random) == 3 for check in influence.checks)
    assert influence.checks[0].effect > max(influence.checks[0].random) - influence.checks[0].before
    assert not list(cache.glob("*"))
    messages = capsys.readouterr().err
    assert "replaying 8 steps of" in messages
    assert "EK-FAC over 50 documents: about" in messages
    assert "the gradients of 50 documents: about" in messages
    assert "again without each of" in messages


def test_an_interrupted_search_goes_on(run_folder: ModelFolder, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out = search._Search._leave_out

    def stop(self: "search._Search", numbers: Sequence[int]) -> dict[int, float]:
        leave_out(self, numbers[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(search._Search, "_leave_out", stop)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        find_documents(run_folder, "Line 12", methods=["replay"])
    assert list(cache.glob("*/left-out.jsonl"))
    monkeypatch.setattr(search._Search, "_leave_out", leave_out)
    assert len(find_documents(run_folder, "Line 12", methods=["replay"]).checks) == 1
    assert not list(cache.glob("*"))


def _overflow(trajectory: Trajectory, *arguments: object, **options: object) -> Replay:
    return Replay(trajectory.run().weights, [0.0], torch.full((1, 50), torch.nan))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda patch: patch.setattr(search, "TIME_LIMIT", 0.0), "would take about"),
        (lambda patch: patch.setattr(search, "free_memory", lambda device: 1), "of memory for the states"),
        (lambda patch: patch.setattr(search, "MAX_DISTANCE", 0.0), "of the way off its weights"),
        (lambda patch: patch.setattr(search, "replay", _overflow), "grow beyond all numbers"),
    ],
    ids=["time", "memory", "distance", "infinite"],
)
def test_a_run_that_cannot_be_replayed_leaves_the_other_methods(
    run_folder: ModelFolder,
    run: TrainingRun,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
    reason: str,
) -> None:
    change(monkeypatch)
    monkeypatch.setattr(search._Search, "_cosine_seconds", lambda self: 0.0)
    monkeypatch.setattr(search, "cosine_scores", lambda *arguments, **options: np.arange(run.document_count))
    influence = find_documents(run_folder, "Line 1", methods=["replay", "cosine"], check=False, time_limit=search.TIME_LIMIT)
    assert influence.methods == ("cosine",)
    assert [method for method, _ in influence.omitted] == ["replay"]
    assert reason in influence.omitted[0][1]


def test_bad_calls_are_refused(run_folder: ModelFolder) -> None:
    with pytest.raises(UserError, match="no token"):
        find_documents(run_folder, "")
    with pytest.raises(UserError, match="name a method"):
        find_documents(run_folder, "Line 1", methods=[])
