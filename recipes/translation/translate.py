"""Translate phrases with what the recipe made: those of the command line, or the lines of standard input.

    python recipes/translation/translate.py WORK "cannot open the file %s"

Each line of the output is a translation. `--candidates` prints the best five with their sources.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from pairs import Pair
from translator import GRID, Choice, Translator

from lmcraft.errors import UserError
from lmcraft.json_lines import read_json_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("phrases", nargs="*", metavar="PHRASE")
    parser.add_argument("--candidates", action="store_true", help="print the best five of each phrase")
    options = parser.parse_args()
    try:
        translate(options.work, options.phrases or [line.strip() for line in sys.stdin], candidates=options.candidates)
    except UserError as error:
        sys.exit(str(error))


def translate(work: Path, phrases: list[str], *, candidates: bool) -> None:
    """Print translations; an empty phrase is an empty line."""
    if not (work / "weights.json").is_file():
        raise UserError(f"{work} has no weights.json: run `python -m recipes translation {work}` first")
    weights = json.loads((work / "weights.json").read_text(encoding="utf-8"))
    training = [pair for pair in (Pair(**row) for row in read_json_lines(work / "pairs.jsonl")) if pair.side == "train"]
    translator = Translator(work / "model", training)
    choices = iter(translator.choices([phrase for phrase in phrases if phrase]))
    for phrase in phrases:
        choice = next(choices) if phrase else None
        if choice and candidates:
            show(choice, [weights[name] for name in GRID])
        else:
            print(choice.candidates[choice.best([weights[name] for name in GRID])].text if choice else "")


def show(choice: Choice, weights: list[float]) -> None:
    print(choice.source)
    for number in np.argsort(-choice.scores(weights))[:5]:
        print(f"  {choice.candidates[number].kind:10} {choice.candidates[number].text}")


if __name__ == "__main__":
    main()
