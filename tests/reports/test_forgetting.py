"""The page of a forgetting."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from lmcraft.folder import ModelFolder
from lmcraft.reports import language
from lmcraft.reports.chinese import CHINESE
from lmcraft.reports.forgetting import forgetting_tables, write_forgetting
from lmcraft.statistics.intervals import Metric
from lmcraft.unlearning.limits import list_limits
from lmcraft.unlearning.results import Exposure, Forgetting, ForgottenText, Membership, Method, Probe, Proof, Relearning

AREA = Metric(0.5, 0.4, 0.6)
LOSS = Metric(2.0, 1.5, 2.5)


def result_of(method: Method) -> Forgetting:
    names = ("original", "unlearned") if method == "retrain" else ("original", "unlearned", "retrained")
    losses = dict.fromkeys(names, 2.0)
    metrics = dict.fromkeys(names, LOSS)
    rows = [Membership("loss", "unlearned: forgotten", "retrained: forgotten", AREA, is_verdict=method == "approximate")]
    rows.append(Membership("loss, less that of the original model", "original: forgotten", "original: unseen", AREA))
    reference = "unseen" if method == "retrain" else "retrained"
    proof = Proof(
        rows,
        Relearning([0, 50], {"unlearned": [3.0, 2.0], reference: [3.0, 2.1]}, [LOSS, LOSS], reference),
        [Probe("paraphrase", 3, metrics, LOSS)],
        Exposure(2, 255, 1.43, metrics),
        metrics,
        LOSS,
        first_read=4,
        same_losses=2,
        is_unread=True if method == "retrain" else None,
    )
    texts = [ForgottenText(number, "ab" * 32, 12, losses, None if method == "retrain" else 2.5) for number in (17, None)]
    result = Forgetting("<b>model", method, texts, [(8, 0.5)], [], 120, 3.0, proof, ())
    limits = list_limits(result, has_probes=False, has_canaries=True, is_tested_in_part=True, retained="training data")
    proof = replace(proof, same_losses=4)
    return replace(result, limits=limits, proof=proof)


@pytest.mark.parametrize("method", ["retrain", "approximate"])
def test_the_page_has_both_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Method) -> None:
    missing = set[str]()

    class Texts(dict[str, str]):
        def get(self, text: str, default: str = "") -> str:  # type: ignore[override]
            if text not in self:
                missing.add(text)
            return super().get(text, default)

    monkeypatch.setattr(language, "CHINESE", Texts(CHINESE))
    folder = ModelFolder(tmp_path)
    folder.run.mkdir()
    result = result_of(method)
    page = unescape(write_forgetting(folder, result).read_text(encoding="utf-8"))
    assert {text for text in missing if re.search("[a-z]{3}", text)} <= {"ROC", "min-k", "min-k++", "zlib"}
    english, chinese = page.split('<main lang="zh-Hans">')
    assert "<h1>Forgotten by <b>model</h1>" in english
    assert "遗忘" in chinese
    assert "8" in english
    assert all(str(limit) in english for limit in result.limits)
    assert forgetting_tables(result)
