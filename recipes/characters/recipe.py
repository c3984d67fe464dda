"""A character model, the field's smallest benchmark, beside a compressor and trigrams.

Without --text it reads Moby-Dick.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from recipes.baselines import base_figures
from recipes.packages import SPEECHES, fetch
from recipes.work import Figure, Work

SHORT_CHARS = 50_000


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--text", type=Path, help="a text file, such as tiny-Shakespeare")
    parser.add_argument("--prompt", default="\n", help="what the sample at the end begins with")


def run(work: Work, options: Namespace) -> list[Figure]:
    text = work.folder / "text.txt"
    contents = options.text.read_text(encoding="utf-8") if options.text else moby_dick()
    text.write_text(contents[: SHORT_CHARS if work.short else None], encoding="utf-8")
    if not (work.folder / "dataset" / "manifest.json").is_file():
        work.lmcraft("prepare", work.recipe / "prepare.toml", text, "--out", "dataset")
    short = ["--max-steps", 4, "--eval-every", 2, "--eval-tokens", 2048] if work.short else []
    base = work.train("pretrain", "pretrain.toml", "base", "--data", "dataset", *short)
    work.lmcraft("generate", base, options.prompt, "--temperature", 0.8, "--max-new-tokens", 40 if work.short else 300)
    return base_figures(work, base, work.folder / "dataset")


def moby_dick() -> str:
    return (fetch(SPEECHES) / "package" / "moby-dick" / "data" / "data.txt").read_text(encoding="utf-8")
