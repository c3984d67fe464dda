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


def test_other_results_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_hook(tmp_path, monkeypatch, "hook_number", "def f(record): return 3\n")
    with pytest.raises(UserError, match="returned int"):
        judge(Hook("hook_number:f"), "text")
