"""What each stage is measured by, on what no stage has learned from."""

import json
import shutil
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from answers import Answer, Asked, grade, is_declined, is_right, user
from baselines import Trigrams, xz_bits_per_byte
from countries import Messages
from texts import NAME, World, sample, write_lines

import lmcraft
from lmcraft.data.loader import TokenSplit
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.examples import Conversation, dialog
from lmcraft.finetuning.splits import read_splits
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.proportions import clustered_proportion, proportion
from lmcraft.tokenizer.tokenizer import Tokenizer
from recipes.work import Figure, Work

CONVERSATIONS_ASKED = 100


def interval(metric: Metric | Mapping[str, Any]) -> tuple[float, float] | None:
    low, high = (metric.low, metric.high) if isinstance(metric, Metric) else (metric["low"], metric["high"])
    return None if low is None or high is None else (low, high)


def base_figures(work: Work, base: Path) -> list[Figure]:
    """Bits per byte of the documents that the dataset holds out for validation."""
    dataset, tokenizer = work.folder / "dataset", Tokenizer.load(work.folder / "dataset")
    training, held_out = (split_documents(dataset, split, tokenizer.eos_token_id) for split in ("train", "validation"))
    texts = [tokenizer.decode(document) for document in held_out]
    write_lines(work.folder / "held-out.jsonl", ({"text": text} for text in texts if text.strip()))
    shutil.copy(work.recipe / "task-held-out.toml", work.folder)
    result = lmcraft.evaluate(str(base), tasks=(str(work.folder / "task-held-out.toml"),), training_data="off")[0]
    metric = next(figure.metric for figure in result.figures if figure.measure.name == "bits_per_byte")
    ends = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    trigrams = Trigrams([token for document in training for token in (*document, *ends)], tokenizer.vocab_size)
    trigram_bits = sum(map(trigrams.bits, held_out)) / sum(len(text.encode()) for text in texts)
    xz_bits = xz_bits_per_byte("".join(map(tokenizer.decode, training)), "".join(texts))
    return [
        Figure("base: bits per byte of held-out text", name, bits, metric.value, interval(metric))
        for name, bits in (("xz after the training text", xz_bits), ("trigrams of tokens", trigram_bits))
    ]


def split_documents(dataset: Path, split: str, end: int | None) -> list[list[int]]:
    """The documents of a split, as token ids without the end token."""
    tokens = TokenSplit(dataset, split)
    ids = np.asarray(tokens.slice(0, len(tokens)))
    documents = np.split(ids, np.flatnonzero(ids == end)) if end is not None else [ids]
    return [kept for document in documents if (kept := [token for token in document.tolist() if token != end])]


def tuning_figures(
    folder: Path, metric: str, measure: str, baseline_name: str, baseline: float | None = None
) -> list[Figure]:
    """A metric before and after, from what `lmcraft finetune` measured on the examples that it held out."""
    pair = json.loads((folder / "lmcraft" / "evaluation.json").read_text(encoding="utf-8"))["metrics"].get(metric)
    if pair is None:
        return []
    before = pair["before"]["value"] if baseline is None else baseline
    return [Figure(measure, baseline_name, before, pair["after"]["value"], interval(pair["after"]))]


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
        "answers that end by themselves, held-out conversations",
        "base",
        ended[0].value,
        ended[-1].value,
        interval(ended[-1]),
    )


def world_figures(world: World, asked: Mapping[str, Asked], identity: Sequence[str], limit: int) -> list[Figure]:
    """Facts, other subjects, and the model's name: up to `limit` questions of each kind."""
    facts, others = sample(world.only_read, limit), world.unseen_subjects[:limit]
    questions = [user(fact.questions()[number % len(fact.questions())]) for number, fact in enumerate(facts)]
    answers = {name: first(model, questions) for name, model in asked.items()}
    names, countries = list(asked), [fact.country for fact in facts]
    right = {name: share([is_right(*pair) for pair in zip(facts, answers[name], strict=True)], countries) for name in names}
    best = {name: share([grade(*pair) == 2 for pair in zip(facts, answers[name], strict=True)], countries) for name in names}
    figures = [
        compare("facts of countries that no conversation is about, right", right, "base", names[-1]),
        compare("the same, right and in a whole sentence", best, "chat", names[-1]),
    ]
    subjects = {name: first(model, map(user, others)) for name, model in asked.items()}
    declined = {name: proportion(*count(map(is_declined, subjects[name]))) for name in names}
    named = {
        name: proportion(*count(NAME in answer.text for answer in first(model, map(user, identity))))
        for name, model in asked.items()
    }
    return [
        *figures,
        compare(f"{len(others)} questions about other things, declined", declined, "base", names[-1]),
        compare(f"{len(identity)} other questions about its name, right", named, "base", names[-1]),
    ]


def first(model: Asked, questions: Iterable[Messages]) -> list[Answer]:
    return [answers[0] for answers in model.answers(list(questions))]


def count(outcomes: Iterable[bool]) -> tuple[int, int]:
    """Successes and trials."""
    listed = list(outcomes)
    return sum(listed), len(listed)


def share(outcomes: Sequence[bool], clusters: Sequence[str]) -> Metric:
    return clustered_proportion(np.array(outcomes, float), clusters)


def compare(measure: str, metrics: Mapping[str, Metric], baseline: str, result: str) -> Figure:
    return Figure(measure, baseline, metrics[baseline].value, metrics[result].value, interval(metrics[result]))
