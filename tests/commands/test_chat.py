import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lmcraft.cli import main
from lmcraft.finetuning.example_files import read_examples
from lmcraft.language_model import LanguageModel
from tests.inference.helpers import language_model
from tests.inference.test_adapters import adapter_for
from tests.terminal_chat.models import chat_model, plain_model

__all__ = ["chat_model", "plain_model"]


def chat_lines(folder: Path, lines: str, monkeypatch: pytest.MonkeyPatch, *flags: str, failed: int = 0) -> None:
    """Chat through a pipe; the exit status tells a script whether lines failed."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert main(["chat", str(folder), "--seed", "1", "--max-new-tokens", "6", *flags]) == (2 if failed else 0)


def test_each_line_of_a_pipe_is_answered(
    plain_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat_lines(plain_model, "Once\n\n从前\n/quit\nnever read\n", monkeypatch, "--stop", "\\n")
    out, err = capsys.readouterr()
    model = LanguageModel.load(plain_model)
    first = model.complete("Once\n", seed=1, max_new_tokens=6, stop="\n")
    second = model.complete(f"Once\n{first}\n从前\n", seed=1, max_new_tokens=6, stop="\n")
    assert out == f"{first}\n{second}\n"
    assert err.count("no chat template") == 1


def test_a_model_without_sampling_settings_gets_the_defaults_of_chats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    language_model().save(tmp_path)
    chat_lines(tmp_path, "Once\n", monkeypatch, "--top-p", "1", "--stop", "\\n")
    out, err = capsys.readouterr()
    assert "using temperature 0.8, top-p 0.95, min-p 0.05 unless set" in err
    settings: dict[str, Any] = {"temperature": 0.8, "top_p": 1.0, "min_p": 0.05}
    model = LanguageModel.load(tmp_path)
    assert out == model.complete("Once\n", seed=1, max_new_tokens=6, stop="\n", **settings) + "\n"


def test_a_message_longer_than_the_context_is_reported_and_dropped(
    plain_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat_lines(plain_model, "x" * 500 + "\nOnce\n", monkeypatch, "--stop", "\\n", failed=1)
    out, err = capsys.readouterr()
    assert "1 of the 2 lines failed" in err
    assert "leaves no room in the model's context" in err
    assert out == "\n" + LanguageModel.load(plain_model).complete("Once\n", seed=1, max_new_tokens=6, stop="\n") + "\n"


def test_commands(plain_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    chat_lines(
        plain_model,
        "a\n/reset\n/system You are a poet.\n/help\n/nonsense\nOnce\n/system\n/reset\nOnce\n",
        monkeypatch,
        failed=1,
    )
    out, err = capsys.readouterr()
    model = LanguageModel.load(plain_model)
    texts = ["a\n", "You are a poet.\nOnce\n", "Once\n"]
    assert out == "".join(model.complete(text, seed=1, max_new_tokens=6) + "\n" for text in texts)
    assert "/system TEXT" in err and "no command /nonsense" in err


def test_regenerate_starts_another_branch(
    plain_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat_lines(
        plain_model,
        "Once\n/regenerate\n/branch 1\nNext\n/back\nElse\n/branch\n/branch 9\n",
        monkeypatch,
        "--stop",
        "\\n",
        failed=1,
    )
    out, err = capsys.readouterr()
    model = LanguageModel.load(plain_model)

    def complete(text: str, seed: int) -> str:
        return model.complete(text, seed=seed, max_new_tokens=6, stop="\n")

    first, second = complete("Once\n", 1), complete("Once\n", 2)
    assert first != second
    assert out.split("\n")[:-1] == [
        first,
        second,
        complete(f"Once\n{first}\nNext\n", 1),
        complete(f"Once\n{first}\nElse\n", 1),
    ]
    assert all(word in err for word in ("\n  1  Once -> ", "\n  2  Next -> ", "\n* 3  Else -> "))
    assert "Taken back, and kept as a branch: Next" in err and "there is no branch 9" in err


def test_commands_report_what_is_missing(
    plain_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    chat_lines(
        plain_model,
        f"/regenerate\n/back\n/branch\n/save\n/save {tmp_path / 'new'}\nOnce\n/save {tmp_path}\nOn\n",
        monkeypatch,
        failed=6,
    )
    out, err = capsys.readouterr()
    for sentence in ("no answer yet", "nothing to take back", "no branches yet", "/save FILE", "nothing to save"):
        assert err.count(sentence) == 1
    assert f"'{tmp_path}' cannot be written" in err and out.count("\n") >= 3
    assert not (tmp_path / "new").exists()


def test_a_saved_branch_is_a_fine_tuning_example(
    chat_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my chats.jsonl"
    file.write_text('{"messages": []}')  # without the end of its line
    chat_lines(chat_model, f"从前\n/back\nOnce\n/save {file}\n/save {file}\n", monkeypatch, "--system", "S")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    answer = capsys.readouterr().out.split("\n", 1)[1].removesuffix("\n")
    messages = [("system", "S"), ("user", "Once"), ("assistant", answer)]
    assert rows[1] == rows[2] == {"messages": [{"role": role, "content": content} for role, content in messages]}
    file.write_text(json.dumps(rows[1]))
    assert len(read_examples([file])) == 1


def test_each_answer_is_a_line_of_json(
    plain_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat_lines(plain_model, "从前\n" + "x" * 500 + "\n/regenerate\n", monkeypatch, "--json", failed=1)
    first, error, second = map(json.loads, capsys.readouterr().out.splitlines())
    model = LanguageModel.load(plain_model)
    usage = {"prompt_tokens": len(model.tokenizer.encode("从前\n")), "completion_tokens": 6}
    for answer, seed in ((first, 1), (second, 2)):
        content = model.complete("从前\n", seed=seed, max_new_tokens=6)
        assert answer == {"role": "assistant", "content": content, "finish_reason": "length", "usage": usage}
    assert "leaves no room" in error["error"]["message"]


def test_an_adapter_answers(
    plain_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = LanguageModel.load(plain_model)
    adapter_for(model.transformer, tmp_path / "a", 1)
    chat_lines(plain_model, "Once\n", monkeypatch, "--adapter", str(tmp_path / "a"))
    with_adapter = LanguageModel.load(plain_model, adapters={"a": tmp_path / "a"})
    expected = with_adapter.complete("Once\n", adapter="a", seed=1, max_new_tokens=6)
    assert capsys.readouterr().out == expected + "\n" != model.complete("Once\n", seed=1, max_new_tokens=6) + "\n"
