"""The stage `moderate` keeps to a policy, and `attributes` scores toxicity by its tiers."""

import gzip
import json
from pathlib import Path

import pytest

from lmcraft import prepare
from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.sources.items import read_items
from lmcraft.annotation.sources.rows import ItemFormat
from lmcraft.annotation.store import ReviewStore
from lmcraft.data.documents import ReadStats
from lmcraft.errors import RunError, UserError
from lmcraft.preparation.contracts import DocumentId, Record
from lmcraft.preparation.counting import ATTRIBUTES
from lmcraft.preparation.stages.attributes import Attributes
from lmcraft.preparation.stages.moderate import Moderate

POLICY = """
name = "crew"
[tiers]
lexicons = ["words.toml"]
[categories.hate]
training = "refuse"
[categories.profanity]
training = "redact"
[categories.spam]
training = "review"
[categories.violence]
training = "flag"
"""
WORDS = "name = 'crew'\n" + "".join(
    f"[[terms]]\ncategory = '{category}'\nseverity = 3\nwords = ['{word}']\n"
    for category, word in {
        "hate": "landlubber",
        "profanity": "barnacles",
        "spam": "cheap rum",
        "violence": "cutlass",
    }.items()
)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "words.toml").write_text(WORDS)
    return str(tmp_path / "policy.toml")


def make_record(text: str) -> Record:
    return Record(DocumentId(0, 0, 0), text, "a.txt", 1, "en", notes={"source": "s"})


@pytest.mark.parametrize(
    ("text", "reason", "changed"),
    [
        ("A fine day at sea.", "", None),
        ("You landlubber!", "hate", None),
        ("Oh barnacles, he said.", "redacted", "Oh [redacted], he said."),
        ("Buy cheap rum here.", "review", None),
        ("He drew his cutlass.", "", None),
        ("Barnacles! You landlubber!", "hate", None),
    ],
)
def test_actions(text: str, reason: str, changed: str | None, policy: str) -> None:
    stage, record = Moderate(policy), make_record(text)
    verdict = stage.judge(record)
    assert (verdict.reason, verdict.text) == (reason, changed)
    assert record.notes.get(ATTRIBUTES, {}) == ({"flagged": ["violence"]} if "cutlass" in text else {})
    assert not reason or verdict.evidence.lower() in text.lower()


def test_toxicity_is_a_group(policy: str) -> None:
    stage = Attributes(attributes=("toxicity",), policy=policy)
    for text, group in (("You landlubber!", "toxic"), ("A fine day at sea.", "low"), ("", "low")):
        record = make_record(text)
        stage.judge(record)
        assert record.notes[ATTRIBUTES] == {"toxicity": [group]}
    [measured] = stage.measures(make_record("You landlubber!"))
    assert (measured.measure, measured.value, measured.threshold) == ("toxicity", 0.95, 0.5)


def test_a_tier_that_fails_ends_the_preparation(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> None:
        raise MemoryError

    stage = Moderate(policy)
    monkeypatch.setattr(stage._moderator, "_normalize", fail)
    with pytest.raises(UserError, match=r"a\.txt:1 could not be judged: the normalization failed"):
        stage.judge(make_record("A fine day."))


def test_a_recipe_with_a_policy(policy: str, tmp_path: Path) -> None:
    texts = [f"Log {n}: a fine day at sea." for n in range(40)] + [
        "You landlubber!",
        "Oh barnacles.",
        "He drew his cutlass.",
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"""
vocab_size = 300
source = [{{ name = "logs", paths = ['{tmp_path / "rows.jsonl"}'], kind = "prose" }}]
stage = [{{ kind = "moderate", policy = '{policy}' }}]
""")
    manifest = prepare(str(recipe), out=tmp_path / "out").manifest()
    [stage] = manifest["stages"]
    assert {name: counts["documents"] for name, counts in stage["total"]["reasons"].items()} == {"hate": 1, "redacted": 1}
    assert manifest["attributes"]["flagged"]["violence"]["after"]["documents"] == 1
    examples = [
        json.loads(line) for line in gzip.decompress((tmp_path / "out" / "stages.jsonl.gz").read_bytes()).splitlines()
    ]
    assert {example["evidence"] for example in examples} == {"landlubber", "barnacles"}
    recipe.write_text(recipe.read_text().replace("policy.toml", "lost.toml"))
    with pytest.raises((UserError, RunError), match=r"lost\.toml' does not exist"):
        prepare(str(recipe), out=tmp_path / "lost")


def test_documents_that_need_review_are_kept_beside_the_dataset(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"Log {n}: a fine day at sea." for n in range(400)]
    texts[7] = texts[300] = "Buy cheap rum\u2028here."
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"""
vocab_size = 300
source = [{{ name = "logs", paths = ['{tmp_path / "rows.jsonl"}'], kind = "prose", languages = ["en"] }}]
stage = [{{ kind = "moderate", policy = '{policy}' }}, {{ kind = "exact-duplicates" }}]
executor = {{ unit_bytes = 4096, workers = 2 }}
""")
    folder = prepare(str(recipe), out=tmp_path / "out", reviews=str(tmp_path / "reviews.sqlite"))
    assert "2 documents wait for review" in capsys.readouterr().out
    store = ReviewStore.open(tmp_path / "reviews.sqlite")
    [row] = store.find()[0]
    assert (row.source, row.subject, row.traffic, row.guideline) == ("filter", "document", 2, "harm")
    store.close()
    entry = folder.manifest()["set_aside"]
    rows = [json.loads(line) for line in (folder.path / entry["file"]).read_text().split("\n")[:-1]]
    assert entry["documents"] == 2
    assert [(row["text"], row["origin"]["line"]) for row in rows] == [(texts[7], 8), (texts[300], 301)]
    assert rows[0]["decision"]["categories"] == ["spam"]
    assert (rows[0]["source"], rows[0]["language"]) == ("logs", "en")
    items = list(read_items(folder.path, ItemFormat(open_guideline("harm")), ReadStats()))
    assert [(item.subject, item.severity) for item in items] == [("document", 0.2)] * 2
    assert (items[0].origin or {})["line"] == 8
