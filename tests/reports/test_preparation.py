"""The page of a prepared dataset shows what was done, in both languages, and runs nothing that a text says."""

from html import unescape
from pathlib import Path

import pytest

from lmcraft.commands.report import report
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from lmcraft.preparation.contracts import Measurement, Tally
from lmcraft.preparation.dry_run import Forecast, StepForecast
from lmcraft.preparation.output import manifest
from lmcraft.preparation.output.histograms import count_value
from lmcraft.reports.preparation import write_preparation
from lmcraft.reports.preparation_charts import measure_charts
from tests.preparation.output.finished import fake_stage, make_finished
from tests.reports.test_search import Checker


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetFolder:
    monkeypatch.setattr(manifest, "build_stage", fake_stage)
    make_finished(tmp_path / "work").write(tmp_path / "data")
    return DatasetFolder(tmp_path / "data")


def test_the_page_shows_what_was_done(dataset: DatasetFolder) -> None:
    page = write_preparation(dataset).read_text(encoding="utf-8")
    english, chinese = page.split('<main lang="zh-Hans">')
    for text in (
        "removed: 34 (34.0%)",
        "20 of 34 documents",
        "CC-BY-SA-4.0",
        "near-duplicates",
        "datasets/old",
        "no network",
    ):
        assert text in unescape(english), text
    for text in ("删除：34 篇 (34.0%)", "34 篇文档中的 20 篇", "以下任务无法检查", "boolq", "阈值 50"):
        assert text in unescape(chinese), text
    assert english.count("<svg") == 4  # flow, two measures, lengths


def test_texts_are_escaped_and_the_page_is_well_formed(dataset: DatasetFolder) -> None:
    page = write_preparation(dataset).read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert not {"script", "img", "iframe", "b", "i", "a"} & checker.counts.keys()
    assert "<mark>&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_equal_datasets_have_equal_pages(dataset: DatasetFolder) -> None:
    page = write_preparation(dataset).read_bytes()
    assert b"<title>Dataset of wiki, crawl</title>" in page
    moved = DatasetFolder(dataset.path.rename(dataset.path.with_name(".other.tmp")))
    assert write_preparation(moved).read_bytes() == page


def test_a_dry_run_shows_time_and_disk(dataset: DatasetFolder, tmp_path: Path) -> None:
    steps = [StepForecast("pass-0", 1_000_000, 0.5, 50.0), StepForecast("resource/decontaminate", 0, 2.0, 2.0)]
    forecast = Forecast(2**20, 100 * 2**20, 2, steps, 3 * 2**30)
    page = write_preparation(dataset, tmp_path / "mix.dry-run.html", forecast)
    text = unescape(page.read_text(encoding="utf-8"))
    assert "takes about 52.0 s with 2 workers, and about 3.00 GiB" in text
    assert "2.0 MB/s" in text
    assert "<title>Dry run of wiki, crawl</title>" in text
    assert not (dataset.path / "report.html").exists()


def test_a_page_can_be_written_again(dataset: DatasetFolder) -> None:
    page = write_preparation(dataset).read_bytes()
    (dataset.path / "report.html").unlink()
    assert report(dataset.path).read_bytes() == page
    manifest.write_json(dataset.manifest_file, {"splits": {}})
    with pytest.raises(UserError, match="was not prepared from a recipe"):
        report(dataset.path)


def test_a_recipe_without_stages_has_a_page(dataset: DatasetFolder) -> None:
    contents = dataset.manifest()
    contents |= {"stages": [], "histograms": {}, "duplicates": {}, "decontamination": {}, "languages": {}, "licenses": {}}
    manifest.write_json(dataset.manifest_file, contents)
    text = write_preparation(dataset).read_text(encoding="utf-8")
    assert "all text was kept" in text
    assert "No points yet." in text


def test_a_threshold_of_zero_is_drawn_on_a_logarithmic_axis() -> None:
    tally = Tally()
    for value in (0.0, 3.0):
        count_value(tally, "quality", Measurement("code", "generated_code", value, 0.0))
    assert "threshold 0" in measure_charts(tally.histograms, "quality")
