"""The stage `scrub` removes personal data, counts it, and keeps it out of everything that is written beside the tokens."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lmcraft import prepare
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from lmcraft.preparation.contracts import KEEP, DocumentId, Record
from lmcraft.preparation.counting import PERSONAL_DATA
from lmcraft.preparation.stages.catalog import build_stage
from lmcraft.preparation.stages.scrub import Scrub, open_passage
from lmcraft.privacy.scrubbing import Scrubber, create_key_file

EMAIL, PHONE, IDENTITY = "anna.kowalski@example.com", "13812345678", "110101199003074610"
TEXTS = (
    *(f"Log {n}: a fine day at sea, and the wind from the west." for n in range(40)),
    f"Write to {EMAIL} or call.",
    f"联系电话：{PHONE}，身份证号：{IDENTITY}。",
    f"Two of them: {EMAIL} and {EMAIL}",
)


def make_record(text: str) -> Record:
    return Record(DocumentId(0, 0, 0), text, "a.txt", 1, "en", notes={"source": "s"})


def write_rows(path: Path, texts: tuple[str, ...]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def prepare_texts(tmp_path: Path, stages: str, texts: tuple[str, ...] = TEXTS) -> DatasetFolder:
    write_rows(tmp_path / "rows.jsonl", texts)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"""
vocab_size = 300
validation = 0.1
source = [{{ name = "logs", paths = ['{tmp_path / "rows.jsonl"}'], kind = "prose" }}]
stage = [{stages}]
""")
    return prepare(str(recipe), out=tmp_path / "out")


def contents(folder: Path) -> str:
    """Everything in a folder as text, compressed files too."""
    parts = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        parts.append(data.decode("utf-8", "replace"))
    return "\n".join(parts)


def test_redacted_documents_stay() -> None:
    verdict = Scrub().judge(make_record(TEXTS[-3]))
    assert (verdict.reason, verdict.text) == ("redacted", "Write to [EMAIL] or call.")
    assert verdict.notes == {PERSONAL_DATA: {"email": 1}}
    assert Scrub().judge(make_record(TEXTS[0])) == KEEP


def test_documents_with_some_kinds_are_dropped() -> None:
    stage = Scrub(kinds=("phone",), action="drop")
    verdict = stage.judge(make_record(TEXTS[-2]))
    assert (verdict.reason, verdict.text, verdict.notes) == ("personal-data", None, {PERSONAL_DATA: {"phone": 1}})
    assert stage.judge(make_record(TEXTS[-1])) == KEEP


def read_examples(folder: DatasetFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress((folder.path / "stages.jsonl.gz").read_bytes()).splitlines()]


def test_kinds_are_counted_and_nothing_beside_the_tokens_shows_personal_data(tmp_path: Path) -> None:
    repeated = f"Again, {EMAIL}"
    stages = '{ kind = "normalize" }, { kind = "exact-duplicates" }, { kind = "scrub", kinds = ["email", "phone", "ip"] }, '
    stages += '{ kind = "scrub", name = "ids", kinds = "resident_id" }'
    folder = prepare_texts(tmp_path, stages, (*TEXTS, repeated, repeated, f"x\u0007 {EMAIL}"))
    *_, stage, ids = folder.manifest()["stages"]
    assert stage["personal_data"] == {
        "email": {"documents": 4, "values": 5, "sources": {"logs": {"documents": 4, "values": 5}}},
        "phone": {"documents": 1, "values": 1, "sources": {"logs": {"documents": 1, "values": 1}}},
    }
    assert ids["personal_data"]["resident_id"]["values"] == 1
    assert {reason: counts["documents"] for reason, counts in stage["total"]["reasons"].items()} == {"redacted": 5}
    examples = read_examples(folder)
    assert {"normalize", "exact-duplicates", "scrub", "ids"} == {example["stage"] for example in examples}
    assert {example["evidence"] for example in examples if example["stage"] == "scrub"} == {"[EMAIL]", "[PHONE]"}
    assert re.search(r"<td[^>]*>email</td><td[^>]*>4</td><td[^>]*>5</td>", (folder.path / "report.html").read_text())
    written = contents(folder.path)
    assert not [value for value in (EMAIL, PHONE, IDENTITY, "kowalski") if value in written]


def test_a_stage_that_sets_documents_aside_comes_later(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'moderate' sets documents aside .* move stage 'scrub' before it"):
        prepare_texts(tmp_path, '{ kind = "moderate" }, { kind = "scrub" }')


@pytest.mark.parametrize("stop", range(4, 32))
def test_passages_hide_what_they_cut(stop: int) -> None:
    passage = open_passage([Scrub()])
    shown = passage(f"Write to {EMAIL} or call.", 3, stop)
    assert not [part for part in ("anna", "kowal", "example") if part in shown]


def test_pseudonyms_are_the_same_everywhere_and_can_be_restored(tmp_path: Path) -> None:
    key = create_key_file(tmp_path / "people.key")
    stage = Scrub(action="pseudonymize", key_file=tmp_path / "people.key")
    verdict = stage.judge(make_record(TEXTS[-1]))
    assert verdict.reason == "pseudonymized"
    assert verdict.text is not None
    assert EMAIL not in verdict.text
    first, second = re.findall(r"\S+@\S+", verdict.text)
    assert first == second
    assert Scrubber(action="pseudonymize", key=key).restore(verdict.text) == TEXTS[-1]
    assert key.hex() not in json.dumps(stage.fingerprint())
    other = tmp_path / "other.key"
    create_key_file(other)
    assert stage.fingerprint() != Scrub(action="pseudonymize", key_file=other).fingerprint()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"action": "pseudonymize"}, "needs a key_file: .* makes one"),
        ({"action": "pseudonymize", "key_file": "lost.key"}, r"lost\.key' does not exist: .* makes one"),
        ({"action": "redact", "key_file": "lost.key"}, "is for action='pseudonymize': leave it out"),
        ({"kinds": ["emial"]}, "emial"),
        ({"action": "hide"}, "hide"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_stage("scrub", "people", settings)
