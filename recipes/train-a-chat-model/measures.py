"""What each stage is measured by, on what no stage has learned from."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from answers import Answer, Asked, grade, is_declined, is_right, user
from countries import Messages
from texts import NAME, World, sample

from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.examples import Conversation, dialog
from lmcraft.finetuning.splits import read_splits
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.proportions import clustered_proportion, proportion
from recipes.baselines import interval
from recipes.work import Figure, Work

CONVERSATIONS_ASKED = 100


def held_out_questions(work: Work, chats: Path) -> list[Messages]:
    """The beginnings of conversations that the chat stage held out, up to the last question."""
    settings = tomllib.loads((work.recipe / "finetune-chat.toml").read_text(encoding="utf-8"))
    config = FinetuneConfig(settings["model"], (chats,), validation=settings["validation"])
    splits = read_splits(config)
    assert splits is not None
    conversations = [dialog(example)[:-1] for example in splits.validation if isinstance(example, Conversation)]
    return [
        [{"role": str(message["role"]), "content": str(message["content"])} for message in messages]
        for messages in conversations[:CONVERSATIONS_ASKED]
    ]


def ending_figure(asked: Mapping[str, Asked], questions: Sequence[Messages]) -> Figure:
    """How many answers end by themselves, of the base model and of the last one."""
    ended = [proportion(*count(answer.is_ended for answer in first(model, questions))) for model in asked.values()]
    return Figure(
        "last stage: answers that end by themselves",
        "base",
        ended[0].value,
        ended[-1].value,
        interval(ended[-1]),
    )


def world_figures(world: World, asked: Mapping[str, Asked], identity: Sequence[str], limit: int) -> list[Figure]:
    """Facts, other subjects, and the model's name: up to `limit` questions of each kind."""
    facts, others = sample(world.only_read, limit), world.unseen_subjects[:limit]
    questions = [user(fact.questions()[number % len(fact.questions())]) for number, fact in enumerate(facts)]
    countries, names = [fact.country for fact in facts], list(asked)
    likely = {name: first(model, questions) for name, model in asked.items()}
    drawn = {name: first(asked[name], questions, do_sample=True, temperature=1.0, seed=1) for name in names[1:]}
    right = {name: share([is_right(*pair) for pair in zip(facts, likely[name], strict=True)], countries) for name in likely}
    best = {name: share([grade(*pair) == 2 for pair in zip(facts, drawn[name], strict=True)], countries) for name in drawn}
    figures = [
        compare("chat: facts of countries that no conversation is about, right", right, "base", "chat"),
        compare("last stage: the same", right, "chat", names[-1]),
        compare("last stage: drawn answers that are right and a sentence", best, "chat", names[-1]),
    ]
    subjects = {name: first(model, map(user, others)) for name, model in asked.items()}
    declined = {name: proportion(*count(map(is_declined, subjects[name]))) for name in names}
    named = {
        name: proportion(*count(NAME in answer.text for answer in first(model, map(user, identity))))
        for name, model in asked.items()
    }
    return [
        *figures,
        compare(f"last stage: {len(others)} questions about other things, declined", declined, "base", names[-1]),
        compare(f"last stage: {len(identity)} unseen questions about its name, right", named, "base", names[-1]),
    ]


def first(model: Asked, questions: Iterable[Messages], **settings: Any) -> list[Answer]:
    """An answer to each question, by default of the most likely tokens."""
    return [answers[0] for answers in model.answers(list(questions), **settings)]


def count(outcomes: Iterable[bool]) -> tuple[int, int]:
    """Successes and trials."""
    listed = list(outcomes)
    return sum(listed), len(listed)


def share(outcomes: Sequence[bool], clusters: Sequence[str]) -> Metric:
    return clustered_proportion(np.array(outcomes, float), clusters)


def compare(measure: str, metrics: Mapping[str, Metric], baseline: str, result: str) -> Figure:
    return Figure(measure, baseline, metrics[baseline].value, metrics[result].value, interval(metrics[result]))
