"""Functions of users are called with each document, and refused before the run if they cannot be."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.preparation.contracts import KEEP, DocumentId, Record, Verdict
from lmcraft.preparation.stages.hook import Hook


def write_hook(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> None:
    (folder / f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend(str(folder))


def judge(hook: Hook, text: str) -> Verdict:
    return hook.judge(Record(DocumentId(0, 0, 0), text, "a", 1))


def test_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "from lmcraft.preparation.contracts import Verdict\n"
    body += "def f(record): return Verdict('short') if len(record.text) < 3 else record.text.replace('a', 'b')\n"
    write_hook(tmp_path, monkeypatch, "hook_verdicts", body)
    hook = Hook("hook_verdicts:f")
    assert judge(hook, "ab") == Verdict("short")
    assert judge(hook, "abc") == Verdict("changed", text="bbc")
    assert judge(hook, "xyz") == KEEP


def test_the_fingerprint_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prints = []
    for number in range(2):
        write_hook(tmp_path, monkeypatch, f"hook_print_{number}", f"def f(record): return None  # {number}\n")
        prints.append(Hook(f"hook_print_{number}:f").fingerprint()["sha256"])
    assert prints[0] != prints[1]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("no_such_module_here:f", "cannot be imported"),
        ("json:no_such_function", "has no function 'no_such_function'"),
        ("", "write module:function"),
        ("json", "write module:function"),
        ("a b:c", "write module:function"),
        ("json:__doc__", "has no function"),
    ],
)
def test_what_cannot_be_called_is_refused(function: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Hook(function)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1/0\n", "the module 'hook_fails' fails \\(ZeroDivisionError: division by zero\\): correct it"),
        ("def f(:\n", "the module 'hook_fails' fails \\(SyntaxError: "),
        ("import sys\nsys.exit(7)\n", "the module 'hook_fails' fails \\(SystemExit: 7\\)"),
        ("import no_such_module_here\n", "cannot be imported"),
    ],
)
def test_a_module_that_fails_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str) -> None:
    write_hook(tmp_path, monkeypatch, "hook_fails", body)
    with pytest.raises(UserError, match=message):
        Hook("hook_fails:f")


def test_a_text_that_is_changed_in_place_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "def f(record): record.text += 'x'; record.license = 'MIT'\n"
    write_hook(tmp_path, monkeypatch, "hook_in_place", body)
    record = Record(DocumentId(0, 0, 0), "text", "a", 1)
    assert Hook("hook_in_place:f").judge(record) == Verdict("changed", text="textx")
    assert record.text == "text" and record.license == "MIT"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("3", "returned int: return a Verdict, a text or None"),
        ("True", "returned bool"),
        ("b'x'", "returned bytes"),
        ("r.text + '\\ud800'", "gave a text with a lone surrogate"),
        ("setattr(r, 'text', 3)", "returned int"),
        ("setattr(r, 'language', 3)", "gave the language 3, which is not a text"),
        ("r.notes.update(a={3})", "wrote notes of the record that JSON cannot hold"),
        ("Verdict(None)", "gave the reason None, which is not a text"),
        ("Verdict('a', text=b'x')", "gave the text b'x', which is not a text"),
        ("Verdict(text='x')", "gave a Verdict with a text, but without a reason"),
        ("Verdict('a', value='x')", "gave the value 'x', which is not a number"),
    ],
)
def test_other_results_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: str, message: str) -> None:
    body = f"from lmcraft.preparation.contracts import Verdict\ndef f(r): return {result}\n"
    write_hook(tmp_path, monkeypatch, name := tmp_path.name, body)
    with pytest.raises(UserError, match=f"^function='{name}:f' {message}"):
        judge(Hook(f"{name}:f"), "text")
