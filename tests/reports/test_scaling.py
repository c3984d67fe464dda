"""The page and the JSON file of a scaling law."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from lmcraft.pretraining import scaling_law
from lmcraft.pretraining.scaling_law import Point, Scaling, fit_scaling_law
from lmcraft.reports.scaling import write_scaling
from tests.pretraining.test_scaling_law import LAW, NEXT, points_of


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Scaling:
    monkeypatch.setattr(scaling_law, "REPLICATES", 50)
    points = points_of(LAW, noise=0.002)
    return Scaling(points, fit_scaling_law(points), Point(5, NEXT[0], 0, NEXT[1], float("nan")))


def test_the_prediction_is_written_before_its_run(scaling: Scaling, tmp_path: Path) -> None:
    page = write_scaling(tmp_path, scaling).read_text()
    result = json.loads((tmp_path / "scaling.json").read_text())
    assert result["actual"] is None and "not trained yet" in page and "nan" not in page.lower().replace("finance", "")
    assert result["prediction"]["parameters"] == NEXT[0] and len(result["points"]) == 12
    assert result["law"]["E"]["low"] <= result["law"]["E"]["value"] <= result["law"]["E"]["high"]


def test_the_actual_loss_is_shown_beside_the_prediction(scaling: Scaling, tmp_path: Path) -> None:
    trained = replace(scaling, target=replace(scaling.target, loss=LAW.loss(*NEXT)))
    page = write_scaling(tmp_path, trained).read_text()
    result = json.loads((tmp_path / "scaling.json").read_text())
    assert result["actual"]["error"] == pytest.approx(result["prediction"]["loss"] / LAW.loss(*NEXT) - 1)
    assert abs(result["actual"]["error"]) < 0.03 and "actual" in page
    charts = page.split("<svg")[1:]
    assert len(charts) == 2 and "$" not in page and "src=" not in page
    dots = [len(ET.fromstring("<svg" + chart.split("</svg>")[0] + "</svg>").findall("circle")) for chart in charts]
    assert dots == [12 + 1 + 2 + 2, 12 + 2 + 4 + 2]  # runs, the new one among its size; prediction, actual loss; legend


def test_a_law_that_the_runs_do_not_follow_is_called_unreliable(scaling: Scaling) -> None:
    assert "rely" not in scaling.reliability()
    points = points_of(LAW, noise=0.05)
    assert "raise --tokens-per-parameter" in replace(scaling, fit=fit_scaling_law(points)).reliability()
