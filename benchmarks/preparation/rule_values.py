"""What datatrove's own functions say of made documents, for the test that compares the rules of quality with them.

Runs where datatrove and this checkout can be imported. Words are cut as lmcraft cuts them, so that only the rules are
compared; in the rules of repetition they are compared without case, as lmcraft does.

PYTHONPATH=src:. python benchmarks/preparation/rule_values.py --out tests/preparation/stages/quality/datatrove_values.json
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters import c4_filters, fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter
from datatrove.pipeline.filters.gopher_repetition_filter import find_all_duplicate, find_top_duplicate, get_n_grams

from lmcraft.data.words import fold
from lmcraft.preparation.stages.quality.lines import split_sentences
from lmcraft.preparation.stages.quality.repetition import Repetition
from tests.preparation.stages.quality.made_documents import make_document

COUNT = 300


def split_words(text: str, language: str = "") -> list[str]:
    """The words and marks of a text as lmcraft cuts them."""
    tokens = Repetition(text).tokens
    return [text[start:stop] for start, stop in zip(tokens.starts.tolist(), tokens.stops.tolist(), strict=True)]


def split_folded(text: str, language: str = "") -> list[str]:
    """The same without case and forms of characters, as far as these leave the length of a word."""
    pairs = ((word, fold(word)) for word in split_words(text))
    return [folded if len(folded) == len(word) else word for word, folded in pairs]


def reason(filter_: Any, text: str) -> tuple[str, str]:
    """Why a filter removes a text, and the text after it."""
    document = Document(text=text, id="0")
    filter_.stat_update = lambda *names, **values: None
    try:
        result = filter_.filter(document)
    except ZeroDivisionError:
        return "error", text
    return ("" if result is True else result[1] if isinstance(result, tuple) else "removed"), document.text


def values_of(text: str) -> dict[str, Any]:
    """The decisions of all filters, and the values of the measures of runs."""
    words = split_folded(text)
    top = {n: find_top_duplicate(get_n_grams(words, n)) if len(words) >= n else 0 for n in (2, 3, 4)}
    repeated = {n: find_all_duplicate(words, n) for n in range(5, 11)}
    c4_reason, c4_text = reason(c4_filters.C4QualityFilter(filter_no_terminal_punct=False), text)
    return {
        "top": {n: length / len(text) for n, length in top.items()},
        "repeated": {n: length / len(text) for n, length in repeated.items()},
        "repetition": reason(gopher_repetition_filter.GopherRepetitionFilter(), text)[0],
        "quality": reason(gopher_quality_filter.GopherQualityFilter(), text)[0],
        "fineweb": reason(fineweb_quality_filter.FineWebQualityFilter(char_duplicates_ratio=0.1), text)[0],
        "c4": c4_reason,
        "c4_text": "" if c4_reason else hashlib.sha256(c4_text.encode()).hexdigest()[:16],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    gopher_repetition_filter.split_into_words = split_folded
    gopher_quality_filter.split_into_words = fineweb_quality_filter.split_into_words = split_words
    c4_filters.split_into_sentences = lambda line, language: split_sentences(line)
    rows = [json.dumps(values_of(make_document(number)[1])) for number in range(COUNT)]
    arguments.out.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
