"""`lmcraft explain --fit-lens`."""

from pathlib import Path

import pytest

from lmcraft import LanguageModel
from lmcraft.cli import main
from lmcraft.interpretability.lenses import load_jacobian_lens
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import TEXT, tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    LanguageModel(tiny_model(vocab_size=300), train_bpe([TEXT], vocab_size=300)).save(tmp_path / "model")
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path / "model"


def test_the_lens_is_fitted_on_texts_and_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(folder), "--fit-lens", "--texts", str(folder.parent / "text.txt")]) == 0
    lens = load_jacobian_lens(folder)
    assert lens is not None
    assert lens.record.texts == str(folder.parent / "text.txt")
    assert "fitting the Jacobian lens on 100 prompts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["Text", "--texts", "a.txt"], "texts are what --fit-lens reads"), (["--fit-lens", "--texts", "a.txt"], "a.txt")],
    ids=["without --fit-lens", "no such file"],
)
def test_texts_that_cannot_be_read_are_refused(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(folder), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert load_jacobian_lens(folder) is None
