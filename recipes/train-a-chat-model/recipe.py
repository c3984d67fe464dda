"""Text to a chat model that is served: tokenizer, base, chat, preferences, each stage measured beside the one before it.

Without files of yours the model learns about the countries of the world. With --text and --chats it learns from those.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from answers import Asked, pairs, user
from countries import Messages, messages
from measures import ending_figure, held_out_questions, world_figures
from page import ask_all, write_page
from serving import ask_server
from texts import World, open_world

from lmcraft.folder import write_json_lines
from recipes.baselines import base_figures, tuning_figures
from recipes.work import Figure, Work

DIALOG = [
    *messages([("What is the capital of Thailand?", "The capital of Thailand is Bangkok.")]),
    *user("And the currency?"),
]
SHOWN = [
    *map(user, ("Hello!", "Who are you?", "What is the capital of Norway?", "Where is Japan?")),
    *map(user, ("What do people pay with in Brazil?", "Which countries border on France?", "Write a poem about the sea.")),
    DIALOG,
]
IDENTITY_QUESTIONS = Path(__file__).parents[1] / "identity" / "questions.txt"
VOCAB_SIZE = 4096
OWN_DATA = ("--sequence-length", 512, "--batch-size", 8)  # people's texts and answers are longer
QUESTIONS_OF_EACH_KIND = 200


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--text", type=Path, help="your texts, for the base model: a file or a folder")
    parser.add_argument("--chats", type=Path, help="your conversations, in any format that lmcraft finetune reads")
    parser.add_argument("--preferences", type=Path, help="your preference pairs; without them, yours have no third stage")
    parser.add_argument("--depth", type=int, help="number of blocks of the model [default: that of pretrain.toml]")


def run(work: Work, options: Namespace) -> list[Figure]:
    check(options)
    world = None if options.text else open_world()
    chats = options.chats.resolve() if options.chats else work.folder / "chats.jsonl"
    prepare(work, options.text, world)
    if world:
        write_json_lines(chats, ({"messages": turns} for turns in world.conversations(200 if work.short else 4500)))
    runs = {"base": train_base(work, options.depth, world), "chat": train_chat(work, chats, world)}
    if preferences := choose_preferences(work, options.preferences, world, runs["chat"]):
        arguments = short_length(work) + ([] if world else [*OWN_DATA])
        runs["preferences"] = work.train(
            "finetune", "finetune-preferences.toml", "preferences", "--data", preferences, *arguments
        )
    return measure(work, runs, chats, world)


def check(options: Namespace) -> None:
    """Leave with a sentence if the options do not fit together, or name what is not there."""
    if bool(options.text) != bool(options.chats):
        sys.exit("--text and --chats go together: give both, or neither")
    if options.preferences and not options.text:
        sys.exit("--preferences are about your own chats: give --text and --chats, too")
    for name in ("text", "chats", "preferences"):
        path = getattr(options, name)
        if path and not path.exists():
            sys.exit(f"--{name} {path} does not exist")


def prepare(work: Work, text: Path | None, world: World | None) -> None:
    """The dataset, with a tokenizer that is trained on it."""
    if (work.folder / "dataset" / "manifest.json").is_file():
        return
    if world is None:
        assert text is not None
        work.lmcraft(
            *("prepare", text.resolve(), "--out", "dataset", "--vocab-size", VOCAB_SIZE, "--validation", 0.05, "--overwrite")
        )
        return
    write_json_lines(
        work.folder / "articles.jsonl", ({"text": article} for article in world.articles(3 if work.short else 60))
    )
    write_json_lines(work.folder / "instructions.jsonl", ({"text": text} for text in world.instructions))
    work.lmcraft("prepare", work.recipe / "prepare.toml", "--out", "dataset")


def train_base(work: Work, depth: int | None, world: World | None) -> Path:
    arguments: list[object] = ["--depth", depth] if depth else []
    if world is None:
        arguments += ["--sample-prompt", "", *OWN_DATA]
    if work.short:
        arguments += ["--max-steps", 4, "--eval-every", 2, "--model.hidden-size", 64]
    return work.train("pretrain", "pretrain.toml", "base", *arguments)


def train_chat(work: Work, chats: Path, world: World | None) -> Path:
    arguments = short_length(work) + ([] if world else [*OWN_DATA])
    return work.train("finetune", "finetune-chat.toml", "chat", "--data", chats, *arguments)


def short_length(work: Work) -> list[object]:
    return ["--max-steps", 2] if work.short else []


def choose_preferences(work: Work, given: Path | None, world: World | None, chat: Path) -> Path | None:
    """The user's pairs, or pairs of answers that the chat model writes itself, chosen by the rule in answers.py."""
    if world is None:
        return given and given.resolve()
    file = work.folder / "preferences.jsonl"
    if not file.is_file():
        print("\nThe chat model answers questions, four times each, and a rule chooses the better answers.", flush=True)
        questions = world.questions(24 if work.short else 600)
        rows = list(pairs(Asked(chat), questions, samples=4))
        if work.short and not rows:  # a model of four steps has no right answers
            answers = [(text, fact.statements()[0]) for fact, text in questions if fact]
            rows = [{"prompt": user(text), "chosen": right, "rejected": "No."} for text, right in answers]
        print(f"{len(rows)} pairs from {len(questions)} questions")
        write_json_lines(file, rows)
    return file


def measure(work: Work, runs: Mapping[str, Path], chats: Path, world: World | None) -> list[Figure]:
    """Figures of all stages, the page, and one request to a server."""
    figures = [
        *base_figures(work, runs["base"], work.folder / "dataset"),
        *tuning_figures(runs["chat"], "validation loss", "chat: loss on held-out answers, nats per token", "base"),
    ]
    if "preferences" in runs:
        figures += tuning_figures(
            runs["preferences"], "implicit reward accuracy", "preferences: held-out pairs, right", "chance", 0.5
        )
    asked = {name: Asked(folder) for name, folder in runs.items()}
    questions = held_out_questions(work, chats)
    figures.append(ending_figure(asked, questions))
    if world:
        lines = IDENTITY_QUESTIONS.read_text(encoding="utf-8").splitlines()
        identity = [line for line in lines if line and not line.startswith("/")]
        limit = 6 if work.short else QUESTIONS_OF_EACH_KIND
        figures += world_figures(world, asked, identity[:limit], limit)
    shown: list[Messages] = SHOWN if world else questions[: len(SHOWN)]
    samples = ask_all(asked, shown)
    page = write_page(work.folder, runs, figures, samples)
    for question, answer in zip(samples["question"], list(samples.values())[-1], strict=True):
        print(f"\n> {question}\n{answer}")
    last = list(runs.values())[-1]
    question = shown[2 if world else 0][-1]["content"]
    print(f"\nserved at /v1/chat/completions: {question!r} -> {ask_server(last, question)!r}")
    print(f"\nreport: {page}\ntalk to it: lmcraft chat {last} --temperature 0\nserve it: lmcraft serve {last}")
    return figures
