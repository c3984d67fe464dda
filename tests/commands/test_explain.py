"""`lmcraft explain`: the page, the summary, and what is refused."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import lmcraft
from lmcraft.cli import main
from lmcraft.errors import UserError
from tests.finetuning.chat import chat_folder

TEXT = "The quick brown fox"
QUICK = ["--views", "logits", "--device", "cpu"]  # a view that takes no time


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_page_has_every_view_that_the_model_can_have(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(folder), TEXT, "--against", "The quick brown dog", "--device", "cpu"]) == 0
    output = capsys.readouterr()
    page = Path("tiny-explanation.html").read_text(encoding="utf-8")
    for view in ("surprise", "lens", "logits", "attention", "inputs", "omitted"):
        assert f'<section id="{view}"' in page
    assert output.out.startswith("surprise: ") and "nats per token" in output.out
    assert "not shown: training: " in output.out and "not shown: influence: " in output.out
    assert "page: tiny-explanation.html" in output.err and "Traceback" not in output.err


def test_json_has_the_numbers_and_the_verdicts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(folder), TEXT, *QUICK, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["text"] == TEXT and "".join(value["tokens"]) == TEXT
    assert value["attention"] is None and value["omitted"] == []
    checks = value["logit_attribution"]["checks"]
    assert checks and {"p_value", "is_passed", "random"} <= checks[0].keys()


def test_a_text_comes_from_a_pipe(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{TEXT}\n"))
    assert main(["explain", str(folder), "-", *QUICK, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == TEXT
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert main(["explain", str(folder), *QUICK, "--out", "other.html"]) == 2
    assert "standard input is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "text='' has no tokens"),
        (["ab " * 200], "but the model's context is 128: shorten it"),
        ([TEXT, "--against", "The"], "but patching goes token by token: make them equally long (text: 'T"),
        ([TEXT, "--views", "patching"], "give the second one with --against"),
        ([TEXT, "--views", "saliency"], "saliency"),
        ([TEXT, "--target", "quick brown"], "is not one token, but "),
        ([TEXT, "--target", "q", "--contrast", "q"], "target and contrast are both 'q'"),
        ([TEXT, "--documents", "0"], "documents=0 must be 1 or more"),
        ([TEXT, "--out=-"], "out='-' is standard output"),
        ([TEXT, "--viws", "lens"], "--viws"),
        (["--viws"], "there is no option --viws"),
    ],
    ids=["empty", "long", "against", "patching", "view", "target", "contrast", "documents", "stdout", "option", "mistyped"],
)
def test_bad_input_is_refused_before_anything_is_computed(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") <= 4 and list(Path.cwd().iterdir()) == []


def test_a_view_that_was_asked_for_and_cannot_be_shown_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["explain", str(folder), TEXT, "--views", "logits", "influence", "--device", "cpu", "--out", "page.html"]) == 2
    )
    error = capsys.readouterr().err
    assert "views=influence cannot be shown: " in error and "views=logits" not in error
    assert "Which components decide" in Path("page.html").read_text()


def test_a_special_token_can_be_the_target(folder: Path) -> None:
    explanation = lmcraft.explain(str(folder), TEXT, views=("logits",), target="<|im_end|>", device="cpu")
    assert explanation is not None and explanation.logit_attribution is not None
    assert explanation.logit_attribution.target == "<|im_end|>"


def test_only_a_page_of_explain_is_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, notes = Path("page.html"), Path("notes.html")
    notes.write_text("<title>mine</title>")
    assert main(["explain", str(folder), TEXT, *QUICK, "--out", str(notes), "--overwrite"]) == 2
    assert "is not a page of lmcraft explain" in capsys.readouterr().err and notes.read_text() == "<title>mine</title>"
    assert main(["explain", str(folder), TEXT, *QUICK, "--out", str(page)]) == 0
    assert main(["explain", str(folder), TEXT, *QUICK, "--out", str(page)]) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert main(["explain", str(folder), TEXT, *QUICK, "--out", str(page), "--overwrite"]) == 0
    assert main(["explain", str(folder), TEXT, *QUICK, "--out", str(folder)]) == 2


def test_models_that_write_no_text_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["explain", str(tmp_path / "empty"), TEXT]) == 2
    assert main(["explain", str(tmp_path / "none"), TEXT]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_complete_is_kept_when_it_is_stopped(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lmcraft.interpretability.attention.view.explain_attention", stop)
    assert main(["explain", str(folder), TEXT, "--views", "logits", "attention", "inputs", "--device", "cpu"]) == 130
    page = Path("tiny-explanation.html").read_text(encoding="utf-8")
    assert '<section id="logits"' in page and '<section id="attention"' not in page and '<section id="inputs"' not in page
    assert "stopped; 'tiny-explanation.html' has the views that were complete" in capsys.readouterr().err


def test_python_gets_the_explanation(folder: Path) -> None:
    explanation = lmcraft.explain(str(folder), TEXT, views=["logits"], out="page.html", device="cpu")
    assert explanation is not None and explanation.logit_attribution is not None and not explanation.lenses
    with pytest.raises(UserError, match="methods is empty"):
        lmcraft.explain(str(folder), TEXT, methods=[])
