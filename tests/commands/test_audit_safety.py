"""`lmcraft audit safety` on tiny models, with short lists of prompts and a scripted scorer."""

import json
from pathlib import Path

import pytest

from lmcraft.annotation.store import ReviewStore
from lmcraft.audits.safety import parts
from lmcraft.audits.safety.parts import Panel
from lmcraft.audits.safety.probes import AttackProbe, OverRefusalProbe, ToxicityProbe
from lmcraft.cli import main
from lmcraft.commands.audit_safety import AuditSafetyConfig, audit_safety
from lmcraft.errors import RunError, UserError
from lmcraft.evaluation.task import Task, TaskConfig
from lmcraft.folder import read_json
from lmcraft.language_model import LanguageModel
from lmcraft.moderation import Moderator
from lmcraft.tokenizer import train_characters
from tests.audits.safety.conftest import scripted_scorer
from tests.tiny import TEXT, tiny_model

SCORER = scripted_scorer(q=("harassment", 0.9), w=("weapons", 0.8))
SETTINGS = ["--samples", "2", "--max-new-tokens", "4", "--max-answer-tokens", "6", "--precision", "fp32"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model", seed=0)


def save_model(folder: Path, seed: int, context: int = 128) -> Path:
    tokenizer = train_characters([TEXT], special_tokens=["<|endoftext|>"])
    LanguageModel(tiny_model(seed, max_position_embeddings=context), tokenizer).save(folder)
    return folder


@pytest.fixture(autouse=True)
def few_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the lists by a few short prompts, and the scorer by `SCORER`."""
    (tmp_path / "prompts.txt").write_text("the quick\nlazy dogs\nbrown fox\n" + "a" * 200)
    (tmp_path / "groups.csv").write_text("attribute,group,subject\nage,old,The old\nage,young,The fox\n")
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dogs")

    def task(name: str, file: str = "prompts.txt", **settings: str) -> Task:
        config = TaskConfig("answers", file, **({"prompt": "{{ prompt }}"} | settings))  # type: ignore[arg-type]
        return Task(name, config, tmp_path)

    groups = [task(f"groups_{n}", "groups.csv", prompt="{{ subject }} " + "x" * n) for n in range(6)]
    groups[0] = Task("groups_described", groups[0].config, tmp_path)
    text = Task("prose", TaskConfig("perplexity", "text.txt"), tmp_path)
    (tmp_path / "long.jsonl").write_text(json.dumps({"question": "a" * 200, "choices": ["fox", "dog"], "answer": 0}))
    config = TaskConfig("multiple_choice", "long.jsonl", prompt="{{ question }}", choices=("choices",), answer="answer")
    choice = Task("long", config, tmp_path)
    toxicity = ("expected_max_toxicity", "toxicity_probability")
    panels = [
        Panel("toxicity", "Prompts", [task("one"), task("two")], toxicity, ToxicityProbe),
        Panel("attacks", "Attacks", [task("attack")], ("attack_success", "harmful_answers"), AttackProbe),
        Panel("over_refusal", "Harmless", [task("harmless")], ("over_refusal",), OverRefusalProbe),
        Panel("groups", "Groups", groups, ("mean_toxicity",), ToxicityProbe),
        Panel("groups", "Long questions", [choice], ("acc_norm",)),
        Panel("perplexity", "Prose", [text], ("nats_per_token", "bits_per_byte")),
    ]
    monkeypatch.setattr(parts, "panels", lambda: {panel.key: panel for panel in panels})
    monkeypatch.setattr(Moderator, "open", lambda policy="default": SCORER.moderator)


def test_figures_page_and_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "safety", str(folder), *SETTINGS]) == 0
    output = capsys.readouterr()
    assert "attack success" in output.out and "No gap between groups is larger" in output.out
    assert "Prompts: 2 left out, too long" in output.out and SCORER.hash in output.err
    results = folder / "lmcraft" / "safety"
    record = json.loads((results / "safety.json").read_text())
    assert [figure["panel"] for figure in record["figures"]] == [
        *("one", "one", "attack", "attack", "harmless", "groups_described", "prose", "prose")
    ]
    assert len(record["failed"]) == 1
    assert "cannot do task 'long'" in output.out
    assert record["figures"][0]["items"] == 6 and record["skipped"]["Prompts"] == 2
    assert record["gaps"][0]["attribute"] == "age" and record["scorer_hash"] == SCORER.hash
    [row] = read_json(results / "energy.json")["runs"]
    assert row["kind"] == "audit safety" and row["energy"]["joules"] > 0
    assert "per 1,000 prompts" in " ".join(output.out.split())
    assert "<h2>Energy and emissions</h2>" in (results / "report.html").read_text(encoding="utf-8")
    page = (results / "report.html").read_text()
    assert f"Safety audit of {folder}" in page and "安全审计" in page and "Differences from" not in page


def test_answers_for_people_to_judge(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    location = str(tmp_path / "reviews.sqlite")
    for _ in range(2):
        assert main(["audit", "safety", str(folder), *SETTINGS, "--parts", "attacks", "--reviews", location]) == 0
    output = "".join(capsys.readouterr())
    assert "added 2 items to guideline harm" in output
    assert "2 already in the store" in output
    store = ReviewStore.open(location)
    rows, _ = store.find()
    assert {row.source for row in rows} == {"audit"}
    store.close()
    assert main(["audit", "safety", str(folder), *SETTINGS, "--parts", "perplexity", "--reviews", location]) == 0
    assert "nothing is to be reviewed" in "".join(capsys.readouterr())
    with pytest.raises(UserError, match="cannot be"):
        audit_safety(AuditSafetyConfig(str(folder), parts=("attacks",), reviews=str(tmp_path / "none" / "x" / "r.sqlite")))


def test_an_interrupted_audit_continues(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = AuditSafetyConfig(
        str(folder), parts=("toxicity", "attacks"), samples=2, max_new_tokens=4, max_answer_tokens=6, precision="fp32"
    )
    first = audit_safety(config)
    for name in ("one-*", "one_scores-*"):
        [file] = (folder / "lmcraft" / "safety").glob(f"{name}.jsonl")
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(lines[:3]) + lines[3][:20])
        assert audit_safety(config).to_json() == first.to_json()
        assert sorted(file.read_text().splitlines()) == sorted("".join(lines).splitlines())

    monkeypatch.setattr("lmcraft.audits.safety.scorer.ModeratorScorer.score_toxicity", refuse_to_work)
    assert audit_safety(config).to_json() == first.to_json()
    assert audit_safety(config).metric("one", "toxicity_probability") == first.figures[1].metric


def test_answers_end_with_the_context(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_model(tmp_path / "short", seed=0, context=48)
    parts = ["--parts", "toxicity", "attacks", "over_refusal", "--samples", "2", "--precision", "fp32"]
    assert main(["audit", "safety", str(folder), *parts, "--max-new-tokens", "60"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "Attacks: 1 left out, too long" in output and "Harmless: 1 left out, too long" in output
    assert "Prompts: not measured. With what follows, all 8 prompts are too long for the model's context" in output
    assert "lower --max-new-tokens" in output
    record = json.loads((folder / "lmcraft" / "safety" / "safety.json").read_text())
    assert {figure["panel"]: figure["items"] for figure in record["figures"]} == {"attack": 3, "harmless": 3}


def test_another_scorer_scores_the_same_texts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = AuditSafetyConfig(str(folder), parts=("toxicity",), samples=2, max_new_tokens=4, precision="fp32")
    first = audit_safety(config)
    other = scripted_scorer(**dict.fromkeys("aeiou0123456789", ("hate", 0.7)))
    monkeypatch.setattr(Moderator, "open", lambda policy="default": other.moderator)
    monkeypatch.setattr("lmcraft.audits.safety.probes.sample_texts", refuse_to_work)
    second = audit_safety(config)
    assert second.scorer_hash == other.hash != first.scorer_hash
    assert second.figures[0].metric != first.figures[0].metric


def refuse_to_work(*arguments: object, **settings: object) -> None:
    raise AssertionError("all results are there")


def test_a_reference_is_asked_the_same(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = save_model(tmp_path / "other", seed=1)
    out = tmp_path / "out"
    assert main(["audit", "safety", str(folder), "--compare-with", str(other), "--out", str(out), *SETTINGS]) == 0
    assert "Differences from" in capsys.readouterr().out
    figures = json.loads((out / "safety.json").read_text())["figures"]
    perplexity = next(figure for figure in figures if figure["figure"] == "nats_per_token")
    assert perplexity["difference"]["value"] == pytest.approx(
        perplexity["value"]["value"] - perplexity["reference"]["value"]
    )
    assert perplexity["cost"]["value"] > -1
    assert "Differences from" in (out / "report.html").read_text()
    assert list((other / "lmcraft" / "safety").glob("one-*.jsonl"))
    with pytest.raises(UserError, match="is the model itself"):
        audit_safety(AuditSafetyConfig(str(folder), compare_with=str(folder)))


def test_another_scorer_than_the_pinned_one_is_refused(folder: Path) -> None:
    config = AuditSafetyConfig(str(folder), scorer_hash="0123456789abcdef")
    with pytest.raises(UserError, match=f"scorer_hash='0123456789abcdef', but the scorer .* has {SCORER.hash}"):
        audit_safety(config)
    assert not (folder / "lmcraft").exists()


def test_a_scorer_that_fails_ends_the_audit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Moderator, "open", lambda policy="default": scripted_scorer(fails=True).moderator)
    with pytest.raises(RunError, match="could not be scored"):
        audit_safety(AuditSafetyConfig(str(folder), samples=2, max_new_tokens=4, precision="fp32"))
    assert not (folder / "lmcraft" / "safety" / "report.html").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples=0 must be 1 or more"),
        ({"max_answer_tokens": -1}, "max_answer_tokens=-1 must be 1 or more"),
        ({"limit": -1}, "limit=-1 must not be negative"),
        ({"parts": ()}, "parts is empty"),
    ],
)
def test_settings_that_are_refused(folder: Path, settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        audit_safety(AuditSafetyConfig(str(folder), **settings))  # type: ignore[arg-type]


def test_a_page_of_somebody_else_is_kept(folder: Path, tmp_path: Path) -> None:
    (page := tmp_path / "notes" / "report.html").parent.mkdir()
    page.write_text("<h1>mine</h1>")
    with pytest.raises(UserError, match="which no audit wrote: choose another --out"):
        audit_safety(AuditSafetyConfig(str(folder), out=page.parent))
    assert page.read_text() == "<h1>mine</h1>"
