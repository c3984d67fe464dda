"""`lmcraft classify`: labels of texts from arguments or standard input."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lmcraft.cli import main
from lmcraft.commands.classify import UNSURE
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.head import Labels, add_head
from lmcraft.finetuning.text_classifier import Classifier
from lmcraft.finetuning.tuned_model import snapshot
from tests.finetuning.chat import chat_model, chat_tokenizer

TEXTS = ["the fox", "the lazy dog jumps"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, labels, out = chat_model(), Labels(("a", "b", "c")), tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    add_head(model, 3)
    snapshot(model, MethodConfig(name="full"), "base", chat_tokenizer(), (0,), labels)(out)
    labels.save(out)
    return out


def test_each_text_has_a_line_with_label_and_probability(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(folder), *TEXTS, "--device", "cpu", "--precision", "fp32"]) == 0
    expected = []
    for text, row in zip(TEXTS, Classifier.load(folder).probabilities(TEXTS), strict=True):
        label = max(row, key=row.__getitem__)
        expected.append(f"{label}\t{row[label]:.3f}\t{text}")
    assert capsys.readouterr().out.splitlines() == expected


def test_a_text_without_a_likely_label_is_unsure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["classify", str(folder), *TEXTS, "--device", "cpu", "--precision", "fp32"]
    assert main([*command, "--threshold", "1"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == [UNSURE, UNSURE]
    replace(Labels.load(folder), threshold=1.0).save(folder)
    try:
        assert Classifier.load(folder).classify(TEXTS) == ["", ""]
        assert main(command) == 0 and UNSURE in capsys.readouterr().out
        assert main([*command, "--threshold", "0"]) == 0 and UNSURE not in capsys.readouterr().out
        assert main([*command, "--threshold", "2"]) == 2
        assert "threshold=2 is no probability" in capsys.readouterr().err
    finally:
        replace(Labels.load(folder), threshold=0.0).save(folder)


def test_texts_are_lines_of_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("".join(f"{text}\n" for text in TEXTS).encode())))
    assert main(["classify", str(folder), "--all-labels", "--device", "cpu", "--precision", "fp32"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[-1] for line in lines] == TEXTS
    assert all([column[0] for column in line[1:-1]] == ["a", "b", "c"] for line in lines)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_marks_of_the_encoding_and_line_ends_are_no_text(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, encoding: str, end: str
) -> None:
    def labels(data: bytes) -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert main(["classify", str(folder), "--device", "cpu", "--precision", "fp32"]) == 0
        return capsys.readouterr().out

    assert labels(end.join(TEXTS).encode(encoding)) == labels("\n".join(TEXTS).encode())


def test_input_that_is_not_text_is_named_by_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"good\ncaf\xe9\n")))
    assert main(["classify", str(folder), "--device", "cpu"]) == 2
    assert "line 2 of standard input is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "utf-8"])
def test_standard_input_in_a_named_encoding(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    text = "天气\u2028好\n"  # a line separator inside of the line
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode(encoding))))
    assert main(["classify", str(folder), "--device", "cpu", "--encoding", encoding]) == 0
    assert capsys.readouterr().out.endswith("\t" + text)


def test_a_folder_without_a_classifier_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(tmp_path), "text", "--device", "cpu"]) == 2
    assert "is an empty folder, not a classifier" in capsys.readouterr().err
