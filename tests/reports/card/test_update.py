"""Writing the model card of a folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from lmcraft.folder import ModelFolder
from lmcraft.reports.card import check_card, update_card
from lmcraft.reports.card.vocabulary import check_metadata
from lmcraft.reports.evidence.evaluations import identify_weights
from lmcraft.reports.evidence.readme import Readme
from tests.reports.card.test_markdown import HOSTILE

EVIL = "x\n---\nlicense: gpl\n<!-- lmcraft:end -->\n| [a](b) <script> \u202e 🦙 'q\": {}"


def card_of(folder: ModelFolder) -> str:
    lines: list[str] = []
    assert update_card(folder, lines.append) == folder.path / "README.md" and lines == []
    text = (folder.path / "README.md").read_text(encoding="utf-8")
    assert check_metadata(ModelCard(text).data.to_dict()) == []
    assert {check.state for check in check_card(folder.path)} == {"intact"}
    return text


def refusal(folder: ModelFolder) -> str:
    path = folder.path / "README.md"
    before = path.lstat(), path.read_bytes()
    lines: list[str] = []
    assert update_card(folder, lines.append) is None
    assert (path.lstat().st_ino, path.read_bytes()) == (before[0].st_ino, before[1])
    [line] = lines
    return line


def write_run(folder: ModelFolder) -> None:
    step = {"tokens": 64, "tokens_per_second": 100.0, "seconds": 1.5, "peak_memory": 2**30}
    rows: list[dict[str, Any]] = [{"step": n, "loss": 3.0 / n, **step} for n in (1, 2)]
    rows.append({"step": 2, "validation_loss": 1.75, "bits_per_byte": 1.25, "seconds": 1.5})
    folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder.config_toml.write_text('data = "/home/somebody/data"\ndepth = 2\nobjective = "next-token"\n')


def test_a_card_says_what_was_measured_and_what_was_not(folder: ModelFolder) -> None:
    write_run(folder)
    text = card_of(folder)
    assert "[1.750](lmcraft/metrics.jsonl)" in text and "`lmcraft evaluate` has not measured these weights" in text
    assert "somebody" not in text


def test_the_same_evidence_gives_the_same_bytes(folder: ModelFolder) -> None:
    write_run(folder)
    card_of(folder)
    file = folder.path / "README.md"
    os.utime(file, (1, 1))
    card_of(folder)
    assert file.stat().st_mtime == 1


def test_text_and_metadata_of_people_stay(folder: ModelFolder) -> None:
    file = folder.path / "README.md"
    file.write_text("---\nlicense: gemma # theirs\ntags: [fun]\n---\n# Theirs\n\nHello.\n", encoding="utf-8")
    text = card_of(folder)
    assert text.startswith("---\nlicense: gemma # theirs\ntags:\n- fun\n- lmcraft\n")
    assert "# Theirs\n\nHello.\n" in text
    file.write_text(text.replace("Hello.", "Hello again.").replace("- fun", "- more"), encoding="utf-8")
    write_run(folder)
    again = card_of(folder)
    assert "Hello again." in again and "- more" in again and "1.750" in again and again.count("lmcraft:begin") == 1


def test_names_from_strangers_change_neither_page_nor_metadata(folder: ModelFolder) -> None:
    write_run(folder)
    names = [EVIL, *HOSTILE]
    summary = {
        "splits": {"train": {"tokens": 5, "documents": 1}},
        "sources": [{"source": name, "license": name, "documents": 1, "bytes": 5} for name in names],
        "licenses": {name: {"documents": 1} for name in names},
        "languages": {name: {"documents": 1} for name in ("en", EVIL)},
        "stages": [{"kind": name, "name": name, "total": {"removed": {"documents": 2}}} for name in names],
    }
    parents = [
        {"role": EVIL, "address": f"/home/x/{EVIL}", "sha256": "p"},
        {"role": "base", "address": "hf:../x", "sha256": "p"},
    ]
    ancestors = {"d": {"kind": EVIL, "summary": summary}, "p": {"license": EVIL, "kind": EVIL, "source": EVIL}}
    data = [{"role": EVIL, "address": f"/home/x/{EVIL}", "sha256": "d"}]
    lineage = {"version": 2, "license": EVIL, "kind": EVIL, "parents": parents, "data": data, "ancestors": ancestors}
    folder.lineage.write_text(json.dumps(lineage))
    measured = {"name": EVIL, "value": 0.5, "low": 0.4, "high": 0.6, "items": 5}
    results = {"task": EVIL, "kind": EVIL, "settings": {EVIL: EVIL}, "figures": [measured], "weights": ""}
    (folder.run / "evaluations").mkdir()
    (folder.run / "evaluations" / "a) [b](c).json").write_text(json.dumps(results | {"weights": identify_weights(folder)}))
    (folder.run / "evaluations" / "a) [b](c).jsonl").write_text("")
    text = card_of(folder)
    body = text.split("\n---\n", 1)[1]
    assert body.count("lmcraft:begin") == body.count("<!-- lmcraft:end -->") == 1 and "<script>" not in body
    data_of_card = ModelCard(text).data.to_dict()
    assert data_of_card["license"] == "other" and data_of_card["language"] == ["en"] and "base_model" not in data_of_card
    assert "home" not in text


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"---\nlicense: [\n---\nmine\n", "its metadata is not valid YAML (line 2"),
        (b"\xff\xfe text", "it is not text in UTF-8"),
        (b'<!-- lmcraft:begin {"a":"b"} -->\nmine\n', "has no closing line"),
    ],
)
def test_a_damaged_card_stays_as_it_is(folder: ModelFolder, contents: bytes, reason: str) -> None:
    (folder.path / "README.md").write_bytes(contents)
    line = refusal(folder)
    assert reason in line and "; correct it, and write it again with `lmcraft report " in line and "\n" not in line


def test_a_write_protected_card_stays_as_it_is(folder: ModelFolder) -> None:
    (folder.path / "README.md").write_text("mine")
    (folder.path / "README.md").chmod(0o444)
    assert "it is write-protected" in refusal(folder)


def test_nothing_is_written_through_a_link(folder: ModelFolder, tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("theirs")
    (folder.path / "README.md").symlink_to(tmp_path / "blob")
    assert "it is a link" in refusal(folder)
    assert (tmp_path / "blob").read_text() == "theirs"


def test_a_folder_of_that_name_is_a_line_not_an_error(folder: ModelFolder) -> None:
    (folder.path / "README.md").mkdir()
    lines: list[str] = []
    assert update_card(folder, lines.append) is None and "it is not a file" in lines[0]


def test_metadata_that_the_hub_would_refuse_are_named(folder: ModelFolder) -> None:
    (folder.path / "README.md").write_text("---\nlicense: my own\n---\nmine\n")
    lines: list[str] = []
    assert update_card(folder, lines.append) and "license: 'my own' is no license identifier of the hub" in lines[0]


def test_a_long_card_is_kept(folder: ModelFolder) -> None:
    text = "# Theirs\n\n" + "A line of text with <!-- lmcraft:end --> in it.\n" * 200_000
    (folder.path / "README.md").write_text(text)
    assert text.rstrip() in card_of(folder)


@pytest.mark.slow
def test_two_commands_write_one_after_the_other(folder: ModelFolder) -> None:
    (folder.path / "README.md").write_text("# Theirs\n")
    program = (
        "import sys; from pathlib import Path; from lmcraft.reports.card import update_card; update_card(Path(sys.argv[1]))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, str(folder.path)]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    text = card_of(folder)
    assert text.count("lmcraft:begin") == 1 and Readme.parse(text).before.startswith("# Theirs\n")


def test_a_bug_never_fails_the_run(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcraft.reports.card.update.collect", lambda folder: 1 / 0)
    lines: list[str] = []
    assert update_card(folder, lines.append) is None
    assert lines[0].endswith("which is a bug: please report it (ZeroDivisionError: division by zero)")


def test_an_edited_figure_or_file_is_found(folder: ModelFolder) -> None:
    write_run(folder)
    file = folder.path / "README.md"
    text = card_of(folder)
    file.write_text(text.replace("[1.750]", "[1.250]"))
    assert [check.id for check in check_card(folder.path) if check.state == "changed"] == ["card"]
    file.write_text(text)
    folder.metrics.write_text(folder.metrics.read_text().replace("1.75", "1.25"))
    assert {check.state for check in check_card(folder.path) if check.file == "lmcraft/metrics.jsonl"} == {"changed"}
    record = folder.run / "card.json"
    record.write_text(record.read_text().replace("lmcraft/metrics.jsonl", "../../etc/passwd"))
    assert {check.state for check in check_card(folder.path) if check.file == "../../etc/passwd"} == {"missing"}


def test_an_edited_item_of_an_evaluation_is_found(folder: ModelFolder) -> None:
    (folder.run / "evaluations").mkdir()
    items = folder.run / "evaluations" / "toy-1.jsonl"
    items.write_text('{"item": 0}\n')
    figures = [{"name": "accuracy", "value": 0.5, "low": 0.2, "high": 0.8, "items": 1, "higher_is_better": True}]
    results = {"task": "toy", "weights": identify_weights(folder), "figures": figures}
    items.with_suffix(".json").write_text(json.dumps(results))
    assert "[1](lmcraft/evaluations/toy-1.jsonl)" in card_of(folder)
    items.write_text('{"item": 1}\n')
    changed = [check.file for check in check_card(folder.path) if check.state == "changed"]
    assert changed == ["lmcraft/evaluations/toy-1.jsonl"]


@pytest.mark.parametrize("joules", [-5, 10**400])
def test_impossible_amounts_of_energy_are_no_figures(folder: ModelFolder, joules: int) -> None:
    energy = {"joules": joules, "low": 1, "high": 2, "method": "cpu time"}
    (folder.run / "energy.json").write_text(json.dumps({"runs": [], "total": {"energy": energy}}))
    assert "Training: not counted" in card_of(folder)


def test_a_record_that_is_gone_or_damaged_is_found(folder: ModelFolder) -> None:
    card_of(folder)
    record = folder.run / "card.json"
    record.write_text("{")
    assert [(check.file, check.state) for check in check_card(folder.path)] == [("lmcraft/card.json", "changed")]
    record.unlink()
    assert [(check.file, check.state) for check in check_card(folder.path)] == [("lmcraft/card.json", "missing")]
    (folder.path / "README.md").write_text("mine")
    assert check_card(folder.path) == []


def test_a_pipe_in_place_of_the_card_is_found(folder: ModelFolder) -> None:
    card_of(folder)
    (folder.path / "README.md").unlink()
    os.mkfifo(folder.path / "README.md")
    assert check_card(folder.path)[0].state == "changed"


def test_a_byte_order_mark_hides_no_metadata(folder: ModelFolder) -> None:
    file = folder.path / "README.md"
    file.write_bytes(b"\xef\xbb\xbf" + card_of(folder).encode())
    assert card_of(folder).startswith("---\n") and file.read_bytes().startswith(b"---\n")


def test_yaml_of_the_card_is_plain(folder: ModelFolder) -> None:
    metadata = yaml.safe_load(Readme.parse(card_of(folder)).metadata)
    assert metadata == {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["lmcraft"]}
