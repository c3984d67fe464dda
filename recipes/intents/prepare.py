"""Labeled texts as CSV: the seven intents of BIG-bench, or the headlines of OpenAI's evals, sarcastic or not.

pip download bigbench==1.0.0 --no-deps --no-binary :all:           # 358 MB
python recipes/intents/prepare.py intents bigbench-1.0.0.tar.gz intents.csv
pip download evals==3.0.1.post1 --no-deps                          # 46 MB
python recipes/intents/prepare.py sarcasm evals-3.0.1.post1-py3-none-any.whl sarcasm.csv sarcasm-test.csv
"""

import csv
import json
import random
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path


def intents(package: str) -> list[tuple[str, str]]:
    """693 utterances, each with the intent that has the highest score."""
    with tarfile.open(package) as archive:
        member = next(m for m in archive if m.name.endswith("/intent_recognition/task.json"))
        task = json.load(archive.extractfile(member))  # type: ignore[arg-type]
    return [
        (example["input"].removeprefix("Utterance: "), max(scores, key=scores.get))
        for example in task["examples"]
        for scores in [example["target_scores"]]
    ]


def sarcasm(package: str) -> list[tuple[str, str]]:
    """28,614 headlines in a fixed random order."""
    with zipfile.ZipFile(package) as archive:
        lines = archive.read("evals/registry/data/sarcasm/samples.jsonl").decode("utf-8").splitlines()
    headlines = [
        (row["input"][-1]["content"], "sarcastic" if row["ideal"] == "1" else "serious") for row in map(json.loads, lines)
    ]
    random.Random(0).shuffle(headlines)
    return headlines


def write_csv(file: str, rows: Iterable[tuple[str, str]]) -> None:
    with Path(file).open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([("text", "label"), *rows])


match sys.argv[1:]:
    case ["intents", package, file]:
        write_csv(file, intents(package))
    case ["sarcasm", package, file, test_file]:
        rows = sarcasm(package)
        write_csv(file, rows[:1000])
        write_csv(test_file, rows[1000:4000])
    case _:
        sys.exit(__doc__)
