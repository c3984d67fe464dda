"""What a dataset says about itself adds up, and does not depend on how the work was divided."""

import gzip
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from lmcraft.folder.output import DATASET, check_output
from lmcraft.json_lines import parse_json
from lmcraft.preparation.contracts import JsonObject
from lmcraft.preparation.output import manifest
from tests.preparation.output.finished import fake_stage, make_finished


@pytest.fixture(autouse=True)
def stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "build_stage", fake_stage)


def read_lines(path: Path) -> list[JsonObject]:
    return [parse_json(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_counts_add_up(tmp_path: Path) -> None:
    written = make_finished(tmp_path / "work").write(tmp_path / "data")
    assert DatasetFolder(tmp_path / "data").token_manifest() == written
    totals = [stage["total"] for stage in written["stages"]]
    for total in totals:
        for unit in ("documents", "bytes"):
            assert total["in"][unit] == total["kept"][unit] + total["removed"][unit] + (
                total["changed"]["bytes"] if unit == "bytes" else 0
            )
            assert sum(reason[unit] for reason in total["reasons"].values()) >= total["removed"][unit]
    assert totals[0]["in"]["documents"] == 100 == sum(source["documents"] for source in written["sources"])
    assert totals[0]["kept"] == totals[1]["in"]
    kept = sum(language["documents"] for language in written["languages"].values())
    assert kept == totals[-1]["kept"]["documents"] == sum(entry["documents"] for entry in written["licenses"].values())
    assert set(written["languages"]) == {"zh", "und"}
    assert sum(written["histograms"]["quality/web.en/words/50"]) == 100


def test_sources_mixture_and_losses(tmp_path: Path) -> None:
    written = make_finished(tmp_path / "work").write(tmp_path / "data")
    wiki, crawl = written["sources"]
    assert (wiki["source"], wiki["files"], wiki["stored_bytes"], wiki["sha256"]) == ("wiki", 1, 1000, "ab" * 32)
    assert crawl["encodings"] == {"gb18030": 1}
    assert written["mixture"]["weights"] == {"wiki": 2.0}
    assert written["mixture"]["epochs"] == {"crawl": 1.5}
    assert written["malformed"]["count"] == 4
    assert written["recipe"]["executor"] == {"unit_bytes": 16 << 20}
    skipped = DatasetFolder(tmp_path / "data").skipped.read_text()
    assert "broken.html" in skipped
    assert "text is missing" in skipped


def test_duplicates_and_tasks(tmp_path: Path) -> None:
    written = make_finished(tmp_path / "work").write(tmp_path / "data")
    assert written["duplicates"] == {
        "near-duplicates": {
            "sources": [
                {"source": "crawl", "repeats": "datasets/old", "documents": 1},
                {"source": "crawl", "repeats": "wiki", "documents": 1},
            ],
            "cluster_sizes": {"3": 1},
        }
    }
    rows = read_lines(tmp_path / "data" / "duplicates.jsonl.gz")
    assert rows[0] == {"stage": "near-duplicates", "document": [1, 1, 100, 0], "repeats": [0, 0, 100, 0], "similarity": 0.9}
    checked = written["decontamination"]["decontaminate"]
    assert checked["not_checked"] == [{"task": "mmlu", "reason": "no network"}]
    [task] = checked["tasks"]
    assert (task["task"], task["items"], task["checked"]) == ("boolq", 100, 90)
    assert task["present"] == written["stages"][2]["total"]["reasons"]["task-item"]["documents"]


def test_at_most_twenty_examples_of_a_reason(tmp_path: Path) -> None:
    make_finished(tmp_path / "work").write(tmp_path / "data")
    rows = read_lines(tmp_path / "data" / "stages.jsonl.gz")
    reasons = [(row["stage"], row["reason"]) for row in rows]
    assert reasons.count(("quality", "few-words")) == 20
    assert {"near-duplicates", "decontaminate"} <= {stage for stage, _ in reasons}
    assert all(row["excerpt"] for row in rows)


def test_every_file_is_the_same_for_any_division_of_the_work(tmp_path: Path) -> None:
    folders = []
    for number, units in enumerate(([range(60), range(60, 100)], [range(60, 100), range(60)])):
        make_finished(tmp_path / f"work{number}", units).write(tmp_path / f"data{number}")
        folders.append({path.name: path.read_bytes() for path in (tmp_path / f"data{number}").iterdir()})
    assert folders[0] == folders[1]


def test_the_folder_can_be_overwritten(tmp_path: Path) -> None:
    make_finished(tmp_path / "work").write(tmp_path / "data")
    (tmp_path / "data" / "report.html").touch()
    check_output(tmp_path / "data", DATASET, overwrite=True)
    (tmp_path / "data" / "mine.txt").touch()
    with pytest.raises(UserError, match=r"mine\.txt"):
        check_output(tmp_path / "data", DATASET, overwrite=True)
