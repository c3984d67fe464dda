"""A Chinese model from scratch: pretrained on Tang poems and a novel, then tuned on a thousand instructions.

Texts and instructions of your own go in by --text and --chats.
"""

from argparse import ArgumentParser, Namespace
from itertools import islice
from pathlib import Path

from texts import texts

from lmcraft.folder import write_json_lines
from recipes.baselines import base_figures, tuning_figures
from recipes.packages import llamafactory_data
from recipes.work import Figure, Work

SHORT_TEXTS = 2000


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--text", type=Path, help="your texts: a file or a folder")
    parser.add_argument("--chats", type=Path, help="your instructions, in any format that lmcraft finetune reads")


def run(work: Work, options: Namespace) -> list[Figure]:
    text = options.text.resolve() if options.text else work.folder / "texts.jsonl"
    chats = options.chats.resolve() if options.chats else llamafactory_data() / "alpaca_zh_demo.json"
    if not (work.folder / "dataset" / "manifest.json").is_file():
        if not options.text:
            write_json_lines(text, ({"text": text} for text in islice(texts(), SHORT_TEXTS if work.short else None)))
        work.lmcraft("prepare", text, "--out", "dataset", "--vocab-size", 2000 if work.short else 6000, "--overwrite")
    short = ["--max-steps", 3] if work.short else []
    size = ["--eval-every", 2, "--model.hidden-size", 64] if work.short else []
    base = work.train("pretrain", "pretrain.toml", "base", "--data", "dataset", *short, *size)
    answers = ["--report-answers", 1, "--max-new-tokens", 8] if work.short else []
    chat = work.train("finetune", "finetune.toml", "chat", "--model", "base", "--data", chats, *short, *answers)
    print(f"\ntalk to it: lmcraft chat {chat} --temperature 0.7 --top-p 0.9 --repetition-penalty 1.15")
    figures = base_figures(work, base, work.folder / "dataset")
    return [*figures, *tuning_figures(chat, "validation loss", "loss on held-out answers, nats per token", "base")]
