"""Megabytes per second and core through normalization and the lists of words, on English and Chinese text.

python benchmarks/moderation/speed.py [--megabytes 4] [--chunk 4000] [--rounds 3]

The texts are clean documents of novels, speeches and manuals, judged in pieces of `--chunk` characters, as a preparation's
documents are. Of several rounds the fastest counts, since others may use the machine.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "preparation"))
from corpora import good_documents

from lmcraft.moderation import read_policy
from lmcraft.moderation.lexicon import open_lexicons
from lmcraft.moderation.normalization import normalize
from lmcraft.moderation.normalization.plain import make_plain

KINDS = {
    "English prose": ("en", True),
    "English manuals and code": ("en", False),
    "Chinese prose": ("zh", True),
    "Chinese manuals": ("zh", False),
}


def pieces(language: str, is_prose: bool, megabytes: float, chunk: int) -> list[str]:
    """Pieces of documents in random order."""
    documents = [
        document.text
        for document in good_documents("reported")
        if document.language == language and (document.kind == "prose") == is_prose
    ]
    cut = [text[start : start + chunk] for text in documents for start in range(0, len(text), chunk)]
    random.Random(0).shuffle(cut)
    chosen, size = [], 0.0
    for text in cut:
        if size > megabytes * 1e6:
            break
        chosen.append(text)
        size += len(text.encode())
    return chosen


def fastest(function: Callable[[str], object], texts: list[str], rounds: int) -> float:
    """Seconds of processor time for all texts."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        for text in texts:
            function(text)
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=4)
    parser.add_argument("--chunk", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    lexicon = open_lexicons(read_policy())
    steps: dict[str, Callable[[str], object]] = {
        "plain view": make_plain,
        "all views": normalize,
        "all views and lists of words": lambda text: lexicon.judge(normalize(text), "answer", ""),
    }
    print(f"| MB/s | {' | '.join(KINDS)} |\n|---|{'---|' * len(KINDS)}")
    texts = [pieces(*kind, options.megabytes, options.chunk) for kind in KINDS.values()]
    sizes = [sum(len(text.encode()) for text in chosen) / 1e6 for chosen in texts]
    for chosen in texts:  # compiles, and fills caches
        fastest(steps["all views and lists of words"], chosen, 1)
    for name, function in steps.items():
        speeds = [size / fastest(function, chosen, options.rounds) for size, chosen in zip(sizes, texts, strict=True)]
        print(f"| {name} | {' | '.join(f'{speed:.1f}' for speed in speeds)} |", flush=True)


if __name__ == "__main__":
    main()
