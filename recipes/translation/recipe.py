"""Translate technical phrases: a small model, a dictionary and a translation memory, from nothing but pairs of phrases.

The pairs are the messages of Git, the GNU core utilities and GCC with their Chinese translations, or your own (--pairs).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from pairs import Pair, divide, read_pairs
from quality import figures
from translator import GRID, Translator, fit_weights

from lmcraft.json_lines import format_json_line, read_json_lines
from recipes.packages import Package, fetch
from recipes.work import Figure, Work

PACKAGES = [
    Package(
        "debian",
        "git=1:2.39.5-0+deb12u3",
        "git_1%3a2.39.5-0+deb12u3_amd64.deb",
        "637a85ddd6247fab13bdd0592f2f39aff04ce4dbf0655d3ab553ac359a38ce6f",
    ),
    Package(
        "debian",
        "coreutils=9.1-1",
        "coreutils_9.1-1_amd64.deb",
        "61038f857e346e8500adf53a2a0a20859f4d3a3b51570cc876b153a2d51a3091",
    ),
    Package(
        "debian",
        "gcc-12-locales=12.2.0-14+deb12u1",
        "gcc-12-locales_12.2.0-14+deb12u1_all.deb",
        "a701516b5e34086f478b0a329dfd9dd8e1695e8bac5917a6b162a87719abe28f",
    ),
]
SHORT_PAIRS = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pairs",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="your own pairs: .po, .mo, .tmx, or .csv, .tsv, .jsonl with the columns source and target (or just two)",
    )
    parser.add_argument("--language", default="zh", help="of the translations: en, zh, ja, ... (zh)")
    parser.add_argument("--reverse", action="store_true", help="translate from the second column into the first")


def run(work: Work, options: argparse.Namespace) -> list[Figure]:
    pairs = load_pairs(work, options)
    training, validation, test = ([pair for pair in pairs if pair.side == side] for side in ("train", "validation", "test"))
    print(f"{len(training):,} pairs to learn from, {len(validation):,} to validate with, {len(test):,} to test with")
    for name, rows in (("train", training), ("validation", validation), ("test", test)):
        write_rows(work.folder / f"{name}.jsonl", rows)
    train(work)
    evaluate(work, options.language)
    translator = Translator(work.folder / "model", training)
    choices = translator.choices([pair.source for pair in validation])
    weights = fit_weights(choices, [pair.target for pair in validation], options.language)
    (work.folder / "weights.json").write_text(json.dumps(dict(zip(GRID, weights, strict=True))) + "\n", encoding="utf-8")
    print(f"weights: {dict(zip(GRID, weights, strict=True))}")
    return figures(test, translator, weights, options.language)


def catalogs() -> list[Path]:
    """The Chinese messages of Git, the GNU core utilities and GCC."""
    folders = [fetch(package) for package in PACKAGES]
    return sorted(file for folder in folders for file in folder.glob("usr/share/locale/zh_CN/LC_MESSAGES/*.mo"))


def load_pairs(work: Work, options: argparse.Namespace) -> list[Pair]:
    """The pairs with their sides, which stay as they were in an earlier run."""
    file = work.folder / "pairs.jsonl"
    if not file.is_file():
        pairs = read_pairs(options.pairs or catalogs(), options.reverse)
        pairs = divide(pairs[:: max(1, len(pairs) // SHORT_PAIRS)] if work.short else pairs)
        file.write_text("".join(format_json_line(vars(pair)) for pair in pairs), encoding="utf-8")
    return [Pair(**row) for row in read_json_lines(file)]


def write_rows(file: Path, pairs: Sequence[Pair]) -> None:
    """Pairs as examples: `prompt` and `completion`, and both in `text` for pretraining."""
    rows = (
        {"prompt": pair.source, "completion": pair.target, "text": f"{pair.source}\n{pair.target}", "group": pair.group}
        for pair in pairs
    )
    file.write_text("".join(map(format_json_line, rows)), encoding="utf-8")


def train(work: Work) -> None:
    """A tokenizer, a model that reads the pairs as text, and one that learns their translations."""
    folder, recipe = work.folder, work.recipe
    short = ["--max-steps", 2] if work.short else []
    if not (folder / "dataset" / "manifest.json").is_file():
        vocabulary = 1000 if work.short else 4000
        sources = ["train.jsonl", "--out", "dataset", "--vocab-size", vocabulary, "--overwrite"]
        work.lmcraft("prepare", *sources)
    work.train("pretrain", "pretrain.toml", "base", *short)
    work.train("finetune", "finetune.toml", "model", "--chat-template", recipe / "template.jinja", *short)


def evaluate(work: Work, language: str) -> None:
    """The model by itself on the test pairs, with lmcraft's own measure."""
    task = (work.recipe / "task.toml").read_text(encoding="utf-8")
    (work.folder / "translation.toml").write_text(f"language = {json.dumps(language)}\n{task}", encoding="utf-8")
    limit = ["--limit", 5] if work.short else []
    work.lmcraft("evaluate", "model", "--tasks", "translation.toml", *limit)
