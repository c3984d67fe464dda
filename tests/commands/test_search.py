"""`lmcraft search` for a program that trains the trials itself, from the first question to the export."""

import json
from pathlib import Path

import pytest

pytest.importorskip("optuna")
pytest.importorskip("sqlalchemy")

import optuna

import lmcraft
from lmcraft.errors import UserError
from lmcraft.hyperparameters.trial import AskedTrial

SPACE = """
[pretrain]
data = "DATA"
max_steps = 9
optimizer.learning_rate = { low = 1e-3, high = 1e-1, log = true, default = 0.02 }
depth = { low = 1, high = 3, default = 2 }
"""


def test_a_search_is_asked_told_shown_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space, out = tmp_path / "space.toml", tmp_path / "rates"
    (tmp_path / "text.txt").write_text("some words of a text, again and again\n" * 200)
    data = lmcraft.prepare(tmp_path / "text.txt", out=tmp_path / "data", vocab_size=300)
    space.write_text(SPACE.replace("DATA", str(data.path)))
    for number, loss in enumerate((2.0, 1.5, 1.75)):
        asked = lmcraft.search(space, out=out, ask=True, promotion="none")
        assert isinstance(asked, AskedTrial) and asked.number == number
        lmcraft.search(out=out, tell=number, values=[loss])
    page = (out / "search.html").read_text()
    assert "Trial 1 is the best, with bits_per_byte 1.5" in page and "Trials: 3 complete" in page
    assert (out / "best.toml").is_file() and (out / "trials.tsv").read_text().count("kept") == 2
    capsys.readouterr()

    export = tmp_path / "exports" / "study.db"
    lmcraft.search(out=out, export_optuna=export)
    assert capsys.readouterr().out.strip() == str(export)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{export}")
    assert study.best_trial.number == 1 and [trial.value for trial in study.trials] == [2.0, 1.5, 1.75]
    with pytest.raises(UserError, match="no earlier export"):
        lmcraft.search(out=out, export_optuna=out / "trials.sqlite")
    with pytest.raises(UserError, match="holds no search"):
        lmcraft.search(out=tmp_path / "nothing", export_optuna=export)
    assert json.loads((out / "verdict.json").read_text())["tie"] is True
