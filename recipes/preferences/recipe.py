"""Preferences of people in a chat model: DPO on pairs of a better and a worse answer, measured on other pairs.

Pairs of your own go in by --preferences.
"""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lmcraft.folder import write_json
from recipes.baselines import short_tuning, tuning_figures
from recipes.packages import llamafactory_data
from recipes.work import Figure, Work

SHORT_PAIRS = 4


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--preferences", type=Path, help="your pairs, in any format that lmcraft finetune reads")
    parser.add_argument("--model", help="the model that learns them [default: that of finetune.toml]")


def run(work: Work, options: Namespace) -> list[Figure]:
    pairs = options.preferences.resolve() if options.preferences else llamafactory_data() / "dpo_en_demo.json"
    model = ["--model", options.model] if options.model else []
    short = short_tuning(work) if work.short else []
    if work.short:
        rows = json.loads(pairs.read_text(encoding="utf-8"))
        pairs = work.folder / "pairs.json"
        write_json(pairs, sorted(rows, key=lambda row: len(json.dumps(row)))[:SHORT_PAIRS])
    tuned = work.train("finetune", "finetune.toml", "preferring", "--data", pairs, *model, *short)
    print(f"\ntalk to it: lmcraft chat {tuned}")
    return tuning_figures(tuned, "implicit reward accuracy", "held-out pairs, right", "chance", 0.5)
