"""`lmcraft scrub`."""

import json
import os
from pathlib import Path

import pytest

from lmcraft.cli import main

TEXT = "张三的电话是13812345678，\r\nmail ann@example.com\nnothing here\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8", newline="")
    return path


def test_redacts_and_counts(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["scrub", str(source)]) == 0
    output, messages = capfd.readouterr()
    assert output == "[NAME]的电话是[PHONE]，\r\nmail [EMAIL]\nnothing here\n"
    assert messages == "3 passages: name 1, phone 1, email 1\n"
    assert main(["scrub", str(source), "--kinds", "email,ssn", "--action", "drop"]) == 0
    assert capfd.readouterr().out == "张三的电话是13812345678，\r\nnothing here\n"


def test_pseudonymizes_and_restores(source: Path, tmp_path: Path) -> None:
    key, out, back = tmp_path / "key", tmp_path / "out.txt", tmp_path / "back.txt"
    for _ in range(2):
        assert (
            main(
                ["scrub", str(source), "--action", "pseudonymize", "--key-file", str(key), "--out", str(out), "--overwrite"]
            )
            == 0
        )
    assert "ann@" not in out.read_text(encoding="utf-8") and "@pseudonym.invalid" in out.read_text(encoding="utf-8")
    assert main(["scrub", str(out), "--restore", "--key-file", str(key), "--out", str(back)]) == 0
    assert back.read_bytes() == source.read_bytes()


def test_scrubs_json_lines_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "mail ann@example.com", "n": [1, null, "a"]}\n\n{"text": "none"}\n', encoding="utf-8")
    assert main(["scrub", str(rows)]) == 0
    assert [json.loads(line) for line in capfd.readouterr().out.splitlines()] == [
        {"text": "mail [EMAIL]", "n": [1, None, "a"]},
        {"text": "none"},
    ]
    assert main(["scrub", str(rows), "--action", "drop"]) == 0
    assert capfd.readouterr().out == '{"text": "none"}\n'


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"\xb5\xc4", [], "is not UTF-8, since it has the byte 0xb5"),
        ("ann@example.com".encode("utf-16-le"), [], "has NUL characters"),
        (b"{]", ["--format", "jsonl"], "line 1 of"),
        (b"x", ["--kinds", "mail"], "no kind of personal data 'mail'"),
        (b"x", ["--restore"], "--restore needs --key-file"),
        (b"x", ["--action", "pseudonymize"], "--action pseudonymize needs --key-file"),
        (b"x", ["--key-file", "key"], "is for --action pseudonymize"),
        (b"x", ["--restore", "--key-file", "none"], "'none' does not exist"),
        (b"x", ["--out", os.curdir], "is a folder"),
    ],
    ids=["encoding", "utf16", "json", "kind", "restore", "pseudonymize", "key", "missing", "folder"],
)
def test_refuses(
    content: bytes, arguments: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    assert main(["scrub", str(path), *arguments]) == 2
    assert message in capfd.readouterr().err.replace("\n", " ")


def test_never_overwrites_unasked(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["scrub", str(source), "--out", str(source)]) == 2
    assert source.read_text(encoding="utf-8") == TEXT.replace("\r\n", "\n")
    key = tmp_path / "key"
    assert main(["scrub", str(tmp_path / "none"), "--action", "pseudonymize", "--key-file", str(key)]) == 2
    assert not key.exists()
    assert main(["scrub", str(tmp_path)]) == 2


def test_names_of_fields_and_numbers_of_json_lines(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows, key, out = tmp_path / "rows.jsonl", tmp_path / "key", tmp_path / "out.jsonl"
    row = {"ann@example.com": 1, "bob@example.com": [2.5, True, None], "phone": 13812345678, "float": 13812345678.0, "n": 42}
    rows.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert main(["scrub", str(rows)]) == 0
    redacted = {"[EMAIL]": 1, "[EMAIL] 2": [2.5, True, None], "phone": "[PHONE]", "float": "[PHONE]", "n": 42}
    assert json.loads(capfd.readouterr().out) == redacted
    assert main(["scrub", str(rows), "--action", "pseudonymize", "--key-file", str(key), "--out", str(out)]) == 0
    assert "138" not in out.read_text(encoding="utf-8") and "example.com" not in out.read_text(encoding="utf-8")
    capfd.readouterr()
    assert main(["scrub", str(out), "--restore", "--key-file", str(key)]) == 0
    assert json.loads(capfd.readouterr().out) == row
    assert main(["scrub", str(rows), "--action", "drop"]) == 0
    assert capfd.readouterr().out == ""


def test_names_of_fields_say_what_their_values_are(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows, key, out = tmp_path / "rows.jsonl", tmp_path / "key", tmp_path / "out.jsonl"
    row = {
        "password": "hunter2pw",
        "ssn": 219099999,
        "passport": ["E12345678"],
        "姓名": "李明华",
        "arguments": json.dumps({"客户": "李明华", "tel": "13812345678"}),
        "huge": 10**400,
    }
    rows.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert main(["scrub", str(rows)]) == 0
    redacted = json.loads(capfd.readouterr().out)
    assert {name: redacted[name] for name in ("password", "ssn", "passport", "姓名", "huge")} == {
        "password": "[SECRET]",
        "ssn": "[SSN]",
        "passport": ["[PASSPORT]"],
        "姓名": "[NAME]",
        "huge": 10**400,
    }
    assert json.loads(redacted["arguments"]) == {"客户": "[NAME]", "tel": "[PHONE]"}
    assert main(["scrub", str(rows), "--action", "pseudonymize", "--key-file", str(key), "--out", str(out)]) == 0
    assert "hunter2" not in out.read_text(encoding="utf-8")
    capfd.readouterr()
    assert main(["scrub", str(out), "--restore", "--key-file", str(key)]) == 0
    restored = json.loads(capfd.readouterr().out)
    assert json.loads(restored.pop("arguments")) == json.loads(row.pop("arguments"))  # type: ignore[arg-type]
    assert restored == row


def test_drop_leaves_out_every_line_of_a_passage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "key.txt"
    begin, end = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
    source.write_text(f"x\n{begin}\nMIIEabc\nDEFGH\n{end} ann@example.com\ny bob@example.com", encoding="utf-8")
    assert main(["scrub", str(source), "--action", "drop"]) == 0
    assert capfd.readouterr().out == "x\n"
