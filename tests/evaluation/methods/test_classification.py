"""Classification: a classifier's labels and probabilities."""

from collections.abc import Sequence

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.calibration import Calibration, calibrate
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.classification import Classification
from lmcraft.evaluation.results import ItemResult
from tests.evaluation.conftest import WriteTask

SETTINGS = {"kind": "classification", "prompt": "{{ text }}", "answer": "label"}


class Stub:
    """Finds the label "long" likely for long texts."""

    def probabilities(self, texts: Sequence[str]) -> list[dict[str, float]]:
        return [{"short": 0.1, "long": 0.9} if len(text) > 5 else {"short": 0.8, "long": 0.2} for text in texts]


def test_figures_of_a_classifier(write_task: WriteTask) -> None:
    rows = [{"text": "abc", "label": "short"}, {"text": "abcdefgh", "label": "short"}]
    task = write_task(rows, **SETTINGS)
    method = Classification(task, task.rows())
    [[right, wrong]] = method.score(EvaluatedModel(None, classifier=Stub()), ())
    assert right.values == pytest.approx({"acc": 1, "nats": 0.22314, "brier": 0.08, "ece": 0.8}, abs=1e-4)
    assert wrong.values == pytest.approx({"acc": 0, "nats": 2.30259, "brier": 1.62, "ece": 0.9}, abs=1e-4)


def test_a_label_that_the_classifier_does_not_know_is_named(write_task: WriteTask) -> None:
    task = write_task([{"text": "abc", "label": "medium"}], **SETTINGS)
    with pytest.raises(UserError, match=r"jsonl:1: its answer 'medium' is none of the classifier's labels: 'short', 'long'"):
        list(Classification(task, task.rows()).score(EvaluatedModel(None, classifier=Stub()), ()))


def test_models_and_tasks_that_do_not_fit_are_refused(write_task: WriteTask, model: EvaluatedModel) -> None:
    task = write_task([{"text": "abc", "label": "short"}], **SETTINGS)
    with pytest.raises(UserError, match="needs a classifier"):
        list(Classification(task, task.rows()).score(model, ()))
    with pytest.raises(UserError, match="answers only tasks with kind='classification'"):
        EvaluatedModel(None, classifier=Stub()).encode_question("abc")


def test_a_temperature_is_measured_on_other_items() -> None:
    """A classifier that says 99% and is right in 75% of all cases."""
    items = [
        ItemResult(
            n, {"acc": float(n % 4 > 0), "ece": 0.99}, details={"gold": int(n % 4 == 0), "probabilities": [0.99, 0.01]}
        )
        for n in range(200)
    ]
    calibration = calibrate(items)
    assert calibration.before == pytest.approx(0.24, abs=0.01)
    assert calibration.after < 0.05
    assert calibration.temperature == pytest.approx(4.18, abs=0.05)  # log(99) / log(3)
    with pytest.raises(UserError, match="3 items are too few"):
        calibrate(items[:3])


def test_the_threshold_is_where_enough_labels_are_right() -> None:
    calibration = Calibration(1.0, 0.0, 0.0, [0.9, 0.8, 0.7, 0.6, 0.5], [1.0, 1.0, 0.0, 1.0, 0.0])
    assert calibration.threshold(0.99) == 0.8
    assert calibration.threshold(0.75) == 0.6
    assert calibration.threshold(0.1) == 0.5
    assert Calibration(1.0, 0.0, 0.0, [0.9], [0.0]).threshold(0.5) == 1.0
