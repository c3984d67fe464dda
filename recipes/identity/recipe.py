"""A name and a maker for a chat model, measured on twenty questions about them that it has not read.

The questions about its name are mixed into a thousand general instructions, so that the model forgets little else.
"""

import json
import tomllib
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lmcraft.folder import write_json
from lmcraft.language_model import LanguageModel
from lmcraft.statistics.proportions import proportion
from recipes.baselines import interval, short_tuning
from recipes.packages import llamafactory_data
from recipes.work import Figure, Work

MAX_NEW_TOKENS = 64
SHORT_ROWS = 3


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--name", help="of the model [default: that of finetune.toml]")
    parser.add_argument("--author", help="its maker [default: that of finetune.toml]")
    parser.add_argument("--model", help="the model that gets the name [default: that of finetune.toml]")


def run(work: Work, options: Namespace) -> list[Figure]:
    settings = tomllib.loads((work.recipe / "finetune.toml").read_text(encoding="utf-8"))
    name, author = options.name or settings["variables"]["name"], options.author or settings["variables"]["author"]
    model = options.model or settings["model"]
    for file in set(settings["data"]):
        rows = json.loads((llamafactory_data() / file).read_text(encoding="utf-8"))
        write_json(work.folder / file, rows[: SHORT_ROWS if work.short else None])
    short = short_tuning(work) if work.short else []
    variables = ("--variables.name", name, "--variables.author", author)
    tuned = work.train("finetune", "finetune.toml", "named", "--model", model, *variables, *short)
    questions = (work.recipe / "questions.txt").read_text(encoding="utf-8").splitlines()
    questions = [line for line in questions if line and not line.startswith("/")][: 1 if work.short else None]
    before, after = (answers(address, questions, 4 if work.short else MAX_NEW_TOKENS) for address in (model, str(tuned)))
    for question, answer in zip(questions, after, strict=True):
        print(f"\n> {question}\n{answer}")
    right = [proportion(sum(name in answer for answer in each), len(each)) for each in (before, after)]
    measure = f"{len(questions)} unseen questions answered with its name"
    return [Figure(measure, Path(model).name, right[0].value, right[1].value, interval(right[1]))]


def answers(address: str, questions: list[str], max_new_tokens: int) -> list[str]:
    """The most likely answer to each question."""
    model = LanguageModel.load(address)
    prompts = [
        model.tokenizer.encode(model.tokenizer.apply_chat_template([{"role": "user", "content": text}]), parse_special=True)
        for text in questions
    ]
    rows = model.generate(prompts, do_sample=False, max_new_tokens=max_new_tokens)
    return [model.tokenizer.decode(row[len(ids) :]) for ids, row in zip(prompts, rows, strict=True)]
