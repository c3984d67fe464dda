"""`lmcraft guard check` and `lmcraft guard init`."""

import json
from pathlib import Path

import pytest

from lmcraft.cli import main
from lmcraft.moderation import Finding, Moderator, read_policy
from tests.moderation.test_moderator import ScriptedTier


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moderator that refuses the word "bad"."""
    monkeypatch.setattr(Moderator, "open", lambda policy: Moderator(read_policy(policy), [ScriptedTier("lexicon", "bad")]))


def test_texts_that_do_not_pass_are_printed_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": "a good text"}, {"text": "a bad text"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "decisions.jsonl"
    assert main(["guard", "check", str(tmp_path / "rows.jsonl"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "rows.jsonl:2: refuse: hate: the word 'bad' (lexicon 0.90, threshold 0.7): a bad text" in printed
    assert "rows.jsonl:1" not in printed and "2 texts" in printed
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(record["line"], record["action"]) for record in records] == [(1, "allow"), (2, "refuse")]
    assert records[1]["findings"][0] | {"start": 2, "end": 5} == records[1]["findings"][0]


def test_lines_and_single_texts_can_be_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lines.txt").write_text("good\n\nbad\n")
    assert main(["guard", "check", str(tmp_path / "lines.txt"), "--by-line", "--fail"]) == 1
    captured = capsys.readouterr()
    assert "lines.txt:3: refuse" in captured.out and "refuses 1 of 2 texts" in captured.err
    assert main(["guard", "check", "--text", "--bad"]) == 0
    assert "text:1: refuse" in capsys.readouterr().out


def test_the_policy_can_be_copied_and_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "policy.toml"
    assert main(["guard", "init", str(policy)]) == 0
    assert read_policy(policy).identity == read_policy().identity
    assert main(["guard", "init", str(policy)]) == 2
    assert "replace it with --overwrite" in capsys.readouterr().err
    policy.write_text(policy.read_text().replace('answer = "refuse"', 'answer = "redact"'))
    assert main(["guard", "check", "--text", "a bad text", "--policy", str(policy)]) == 0
    assert "redact" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to check, or too much: name files, or give one text with --text"),
        (["x.txt", "--text", "y"], "nothing to check, or too much"),
        (["missing.txt"], "missing.txt"),
        (["--text", "x", "--policy", "missing.toml"], "'missing.toml' does not exist"),
        (["--text", "x", "--policy", "."], "is a folder: name a TOML file"),
        (["--text", "x", "--out", "."], "out='.' is a folder"),
        (["--text", "x", "--stage", "output"], "--stage"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guard", "check", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_row_that_cannot_be_judged_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "good"}\n{"body": "bad"}\n')
    assert main(["guard", "check", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "out.jsonl")]) == 2
    assert "rows.jsonl:2 is malformed" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def test_finding_spans_are_characters_of_the_original() -> None:
    [finding] = ScriptedTier("lexicon", "bad").judge(Moderator.open("default")._normalize("ﬁne, bad"), "answer", "")
    assert finding == Finding("hate", 0.9, "lexicon", "the word 'bad'", 5, 8)
