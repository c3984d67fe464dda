"""`lmcraft tokenizer train` and `lmcraft tokenizer inspect`, run from the command line."""

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lmcraft.cli import main
from lmcraft.tokenizer import Tokenizer
from tests.tiny import TEXT


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_train_then_inspect(text: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "tokenizer")
    train = ["tokenizer", "train", str(text), "--out", out, "--tokenizer-type", kind, "--vocab-size", "300"]
    assert main(train) == 0
    assert Tokenizer.load(out).vocab_size == (300 if kind == "bpe" else len(set(TEXT)))
    assert main(train) == 2  # there is one already
    assert "--overwrite" in capsys.readouterr().err
    assert main([*train, "--overwrite"]) == 0
    assert main(["tokenizer", "inspect", out, "天 a"]) == 0
    shown = capsys.readouterr().out
    assert "the round trip is exact" in shown
    assert "e5" in shown and "' '" in shown


def test_special_tokens_come_first(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "tokenizer"
    specials = ["--special-tokens", "<|end|>", "--special-tokens", "<|user|>"]
    assert main(["tokenizer", "train", str(text), "--out", str(out), "--vocab-size", "300", *specials]) == 0
    tokenizer = Tokenizer.load(out)
    assert tokenizer.special_tokens == {"<|end|>": 0, "<|user|>": 1}
    assert tokenizer.eos_token_id == 0


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_fill_in_the_middle_adds_its_tokens(text: Path, tmp_path: Path, kind: str) -> None:
    flags = ["--out", str(tmp_path / "tokenizer"), "--tokenizer-type", kind, "--vocab-size", "300", "--fim"]
    assert main(["tokenizer", "train", str(text), *flags]) == 0
    tokenizer = Tokenizer.load(tmp_path / "tokenizer")
    names = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
    assert list(tokenizer.special_tokens) == names and tokenizer.eos_token_id == 0


def test_inspect_reads_bytes_from_standard_input_and_reports_losses(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, message in (("bpe", "is exact"), ("characters", "is not exact")):
        out = str(tmp_path / kind)
        assert main(["tokenizer", "train", str(text), "--out", out, "--tokenizer-type", kind]) == 0
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a [red]b \xff")))
        assert main(["tokenizer", "inspect", out]) == 0
        assert message in capsys.readouterr().out


def test_describing_the_commands_imports_nothing_heavy() -> None:
    code = (
        "import sys, lmcraft.commands.tokenizer, lmcraft.commands.prepare\n"
        "print({'torch', 'numpy', 'tokenizers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
