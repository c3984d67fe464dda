"""A text through the snapshots of a run."""

from pathlib import Path

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.checkpoints import find_formation, follow_training, list_saved_models
from lmcraft.interpretability.explanation import TrainingStep
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer import train_characters
from tests.interpretability.attention.copying import PREVIOUS, VOCABULARY, copying_model

LETTERS = "abcdefghijklmnopqrstuvwxyz"[:VOCABULARY]
IDS = [1, 5, 9, 1, 5]


def _step(step: int, induction: float) -> TrainingStep:
    return TrainingStep(step, 2.0, induction, 0.0, 0.0, (), ())


def test_induction_forms_where_its_score_passes_half_of_the_highest() -> None:
    assert find_formation([_step(0, 0.02), _step(5, 0.3), _step(9, 0.9), _step(20, 0.7)]) == 9
    assert find_formation([_step(0, 0.02), _step(5, 0.2)]) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """Three snapshots: without and with the head that induction needs, and one more."""
    folder, tokenizer = ModelFolder(tmp_path_factory.mktemp("run")), train_characters([LETTERS])
    for step in (0, 10, 200):
        transformer = copying_model()
        if step == 0:
            with torch.no_grad():
                transformer.layers[0].attention.v_proj.weight.zero_()
        LanguageModel(transformer, tokenizer).save(folder.snapshots / f"step-{step:06d}")
    return folder


def test_training_says_when_induction_forms_and_checks_it(run: ModelFolder) -> None:
    seen: list[tuple[int, int]] = []
    training = follow_training(run, IDS, on_step=lambda done, total: seen.append((done, total)))
    assert [step.step for step in training.steps] == [0, 10, 200] and seen == [(1, 3), (2, 3), (3, 3)]
    assert training.formation_step == 10
    first, second, _ = training.steps
    assert first.induction < 0.2 and second.induction > 0.9 and first.previous_token == pytest.approx(second.previous_token)
    assert second.induction_loss_gap > first.induction_loss_gap + 1
    assert len(second.surprise) == len(IDS) and second.surprise[0] is None and second.next_tokens
    (check,) = training.checks
    assert check.subject == "induction head 1.2 of step 10" and check.is_passed
    assert PREVIOUS == (0, 1)


def test_a_folder_without_snapshots_says_how_to_keep_some(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"keeps 0 of the models along its run: train with --snapshots 20"):
        follow_training(ModelFolder(tmp_path), IDS)


def test_what_is_no_snapshot_is_not_read(run: ModelFolder, tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    for name in ("step-000003", "step-7", "step-latest", ".step-000004"):
        (folder.snapshots / name).mkdir(parents=True)
    (folder.snapshots / "step-000005").write_text("a file")
    assert list_saved_models(folder) == {3: folder.snapshots / "step-000003"}


def test_a_damaged_snapshot_is_named(run: ModelFolder, tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    for step in (1, 2):
        (folder.snapshots / f"step-{step:06d}").mkdir(parents=True)
    with pytest.raises(UserError, match="step-000001"):
        follow_training(folder, IDS)
