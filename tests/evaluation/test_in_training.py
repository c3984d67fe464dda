"""The tasks that a run evaluates its weights on."""

import random
import re

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.in_training import RunTasks
from lmcraft.evaluation.run import Evaluation
from lmcraft.evaluation.task import Task
from lmcraft.language_model import LanguageModel
from tests.evaluation.conftest import WriteTask

QUESTIONS = [{"q": f"the fox {n}", "choices": ["jumps", "over"], "answer": n % 2} for n in range(30)]
CHOICE = {"kind": "multiple_choice", "prompt": "{{ q }}", "choices": "choices", "answer": "answer"}
WRITING = {"kind": "generation", "prompt": "{{ q }}", "answer": "choices[0]", "max_new_tokens": 3}


def open_tasks(tasks: list[Task], model: LanguageModel, limit: int = 0) -> RunTasks:
    names = [str(task.folder / f"{task.name}.toml") for task in tasks]
    return RunTasks.open(names, limit, model.transformer.config, model.tokenizer)


@pytest.fixture
def tasks(write_task: WriteTask) -> list[Task]:
    return [write_task(QUESTIONS, **CHOICE), write_task(QUESTIONS, name="writing", **WRITING)]


def test_scores_are_those_of_the_command_on_the_same_items(tasks: list[Task], model: EvaluatedModel) -> None:
    run_tasks = open_tasks(tasks, model.model, limit=10)
    scores = run_tasks.score(model.model, lambda: False)
    assert scores is not None and run_tasks.num_items == 20
    for task in tasks:
        result = Evaluation(model, "", {}, task.folder / "results").run(task, limit=10)
        score = scores[task.name]
        assert {figure.measure.name: figure.metric for figure in result.figures} == score.figures
        assert (score.items, score.chance) == (10, result.chance)
    assert run_tasks.hashes() == {task.name: task.hash for task in tasks}


def test_random_numbers_and_weights_are_left_alone(tasks: list[Task], language_model: LanguageModel) -> None:
    weights = {name: tensor.clone() for name, tensor in language_model.transformer.state_dict().items()}
    run_tasks = open_tasks(tasks, language_model)
    states = torch.get_rng_state(), random.getstate()
    run_tasks.score(language_model, lambda: False)
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    for name, tensor in language_model.transformer.state_dict().items():
        assert torch.equal(tensor, weights[name])


def test_an_evaluation_stops_when_asked(tasks: list[Task], language_model: LanguageModel) -> None:
    answers = iter([False, True])
    assert open_tasks(tasks, language_model).score(language_model, lambda: next(answers)) is None


def test_an_item_that_does_not_fit_is_named_before_the_run(write_task: WriteTask, language_model: LanguageModel) -> None:
    long = write_task([*QUESTIONS[:2], QUESTIONS[0] | {"q": "fox " * 100}], **CHOICE)
    with pytest.raises(UserError, match=re.escape("toy.jsonl:3: it needs")):
        open_tasks([long], language_model)


def test_a_few_items_are_timed(tasks: list[Task], language_model: LanguageModel) -> None:
    few = open_tasks(tasks, language_model).few_items()
    scores = few.score(language_model, lambda: False)
    assert few.num_items == 16 and scores is not None and scores["toy"].items == 8
