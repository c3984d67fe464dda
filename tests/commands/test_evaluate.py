"""`lmcraft evaluate` from the command line."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lmcraft import EvaluateConfig, evaluate
from lmcraft.cli import main
from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.folder import read_json
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer import train_characters
from tests.evaluation.conftest import WriteTask, write_task
from tests.tiny import TEXT, tiny_model

__all__ = ["write_task"]  # a fixture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    LanguageModel(tiny_model(), train_characters([TEXT], special_tokens=["<|endoftext|>"])).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def task(write_task: WriteTask) -> Path:
    rows = [{"q": f"fox {n}", "choices": ["jumps", "over"], "answer": n % 2} for n in range(5)]
    task = write_task(rows, kind="multiple_choice", prompt="{{ q }}", choices="choices", answer="answer")
    return task.folder / "toy.toml"


def test_figures_are_printed_and_results_kept(folder: Path, task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder), "--tasks", str(task), "--precision", "fp32"]) == 0
    output = capsys.readouterr().out
    assert "toy" in output
    assert "bits_per_byte" in output
    [file] = (folder / "lmcraft" / "evaluations").glob("toy-*.jsonl")
    assert len(file.read_text().splitlines()) == 6
    figures = json.loads(file.with_suffix(".json").read_text())["figures"]
    card = (folder / "README.md").read_text()
    assert f"[{figures[0]['value']:.3f}](lmcraft/evaluations/{file.stem}.json)" in card and "type: accuracy" in card


def test_the_energy_of_each_start_is_kept(folder: Path, task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def energy(limit: int) -> dict[str, Any]:
        assert main(["evaluate", str(folder), "--tasks", str(task), "--precision", "fp32", "--limit", str(limit)]) == 0
        return read_json(folder / "lmcraft" / "evaluations" / "energy.json")

    first = energy(2)
    assert [(row["kind"], row["queries"]) for row in first["runs"]] == [("evaluate", 2)]
    assert 0 < first["total"]["energy"]["low"] < first["total"]["energy"]["joules"] < first["total"]["energy"]["high"]
    assert first["total"]["wh_per_1000_queries"] == pytest.approx(first["total"]["kwh"] * 1e6 / 2)
    assert energy(2) == first  # nothing was left to do
    second = energy(5)
    assert [row["queries"] for row in second["runs"]] == [2, 3] and second["runs"][0] == first["runs"][0]
    page = (folder / "lmcraft" / "evaluations" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Energy and emissions</h2>" in page and "per 1,000 items" in page and "每 1,000 题" in page
    output = " ".join(capsys.readouterr().out.split())
    assert output.count("energy: ") == 3 and "per 1,000 items" in output and "CO2e" in output


def test_a_damaged_record_of_energy_is_named_before_the_work(folder: Path, task: Path) -> None:
    (file := folder / "lmcraft" / "evaluations" / "energy.json").parent.mkdir(parents=True)
    file.write_text("{}")
    with pytest.raises(UserError, match=r"energy\.json' is no record of energy; move it away"):
        evaluate(EvaluateConfig(str(folder), tasks=(str(task),), precision="fp32"))
    assert file.read_text() == "{}" and list(file.parent.glob("toy-*")) == []


def test_python_gets_the_figures(folder: Path, task: Path, tmp_path: Path) -> None:
    config = EvaluateConfig(str(folder), tasks=(str(task),), out=tmp_path / "out", precision="fp32", limit=3)
    [result] = evaluate(config)
    assert (result.task, result.chance, len(result.items)) == ("toy", 0.5, 3)
    assert [figure.measure.name for figure in result.figures] == ["acc_norm", "acc", "bits_per_byte", "brier", "ece"]
    [again] = evaluate(config)
    assert again.was_cached


def test_a_report_of_somebody_else_is_kept(folder: Path, task: Path, tmp_path: Path) -> None:
    (page := tmp_path / "notes" / "report.html").parent.mkdir()
    page.write_text("<h1>mine</h1>")
    config = EvaluateConfig(str(folder), tasks=(str(task),), out=page.parent, precision="fp32", limit=2)
    with pytest.raises(UserError, match="which no evaluation wrote: choose another --out"):
        evaluate(config)
    assert page.read_text() == "<h1>mine</h1>" and list(page.parent.iterdir()) == [page]


def test_a_signal_during_the_last_items_of_a_task_is_not_forgotten(
    folder: Path, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = EvaluatedModel.score

    def score_and_stop(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return score(*arguments)

    monkeypatch.setattr(EvaluatedModel, "score", score_and_stop)
    with pytest.raises(InterruptedRunError, match="at the end of 'toy', whose results are saved") as error:
        evaluate(EvaluateConfig(str(folder), tasks=(str(task), "induction"), precision="fp32"))
    assert error.value.exit_status == 128 + signal.SIGTERM


def test_all_tasks_are_checked_before_the_first_is_scored(folder: Path, task: Path, write_task: WriteTask) -> None:
    write_task([{"q": "fox"}], name="second", kind="generation", prompt="{{ q }}", answer="a")
    config = EvaluateConfig(str(folder), tasks=(str(task), str(task.with_name("second.toml"))), precision="fp32")
    with pytest.raises(UserError, match=r"second.jsonl:1: its answer cannot be rendered: 'a' is undefined"):
        evaluate(config)
    assert not list(folder.rglob("toy-*.jsonl"))


def test_the_tasks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--tasks", "list"]) == 0
    assert "hellaswag" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ("helaswag",)}, "there is no task 'helaswag': did you mean 'hellaswag'?"),
        ({"tasks": ("missing.toml",)}, "there is no file 'missing.toml'"),
        ({"tasks": ()}, "tasks is empty"),
        ({"limit": -1}, "limit=-1 must not be negative"),
        ({"model": ""}, "model is missing"),
        ({"tasks": ("induction",), "training_data": "nowhere"}, "nowhere"),
    ],
)
def test_impossible_settings_are_refused(folder: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        evaluate(EvaluateConfig(**{"model": str(folder), **settings}))  # type: ignore[arg-type]


def test_answers_are_drawn_with_the_sampling_settings(folder: Path, write_task: WriteTask, tmp_path: Path) -> None:
    rows = [{"q": f"Line {n}:", "answer": "the"} for n in range(4)]
    task = write_task(rows, kind="generation", prompt="{{ q }}", answer="answer", max_new_tokens=8)
    file = str(task.folder / "toy.toml")

    def texts(rows: int = 4, **settings: Any) -> list[Any]:
        config = EvaluateConfig(str(folder), tasks=(file,), out=tmp_path / "out", precision="fp32", limit=rows, **settings)
        [result] = evaluate(config)
        return [item.details["text"] for item in result.items]

    greedy, drawn = texts(), texts(sampling={"temperature": 2.0})
    assert drawn != greedy == texts(sampling={"temperature": 0.0})
    assert drawn != texts(sampling={"temperature": 2.0}, seed=2)
    assert len(list((tmp_path / "out").glob("toy-*.jsonl"))) == 4
    with pytest.raises(UserError, match="temperature"):
        texts(sampling={"temperature": -1.0})


@pytest.mark.parametrize("required", [0.5, 1.0])
def test_a_model_that_falls_short_ends_with_a_status_and_names_the_failed_tests(
    folder: Path, write_task: WriteTask, capsys: pytest.CaptureFixture[str], required: float
) -> None:
    rows = [{"prompt": "the", "contains": "/./", "name": "writes"}, {"prompt": "the", "contains": "Zürich", "name": "knows"}]
    task = write_task(rows, kind="checks", max_new_tokens=4).folder / "toy.toml"
    arguments = ["evaluate", str(folder), "--tasks", str(task), "--precision", "fp32", "--require", f"toy={required}"]
    assert main(arguments) == (1 if required == 1 else 0)
    output, errors = capsys.readouterr()
    assert "failed: knows: the answer lacks 'Zürich'" in output
    sentence = "toy: passed is 0.500, but at least 1 is required; failed: knows; the answers and the reasons are in"
    assert (sentence in errors) == (required == 1)
    page = (folder / "lmcraft/evaluations/report.html").read_text()
    assert "Failed tests: toy" in page and "未通过的测试：toy" in page


def test_a_requirement_is_checked_before_the_first_task_is_scored(folder: Path, task: Path) -> None:
    config = EvaluateConfig(str(folder), tasks=(str(task),), precision="fp32", require=("tox=1",))
    with pytest.raises(UserError, match="require='tox=1' names no task"):
        evaluate(config)
    assert not list((folder / "lmcraft").rglob("*.jsonl"))
