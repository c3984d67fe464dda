"""False alarms of lists of words on clean text: literature, manuals, code (`benchmarks/preparation/corpora.py`).

python benchmarks/moderation/false_alarms.py                       sentences with a word that counts, at the default policy
python benchmarks/moderation/false_alarms.py --half tuning --show  the half that the lists were corrected on, with sentences
python benchmarks/moderation/false_alarms.py --lexicons words.txt  other lists
"""

import argparse
import re
import sys
from bisect import bisect_right
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "preparation"))
from corpora import CORPORA, Document, good_documents

from lmcraft.moderation import read_policy
from lmcraft.moderation.lexicon import Lexicon, read_list
from lmcraft.moderation.normalization import normalize

SENTENCE_END = re.compile(r"[.!?;]+[\"')\]]*\s+|[。！？；…]+[”’」』）]*|\n+")
STAGE = "answer"


def sentence_starts(text: str) -> list[int]:
    """Where the sentences of a text begin."""
    borders = [0, *(match.end() for match in SENTENCE_END.finditer(text))]
    return [start for start, end in zip(borders, [*borders[1:], len(text)], strict=True) if text[start:end].strip()]


def alarms(document: Document, lexicon: Lexicon, thresholds: dict[str, float]) -> dict[int, str]:
    """The sentences of a document that have a word that counts, by number, with the word."""
    starts = sentence_starts(document.text)
    hits: dict[int, str] = {}
    for term, start, end in lexicon.find_terms(normalize(document.text)):
        if term.score >= thresholds.get(term.category, 2.0):
            first, passage = bisect_right(starts, start) - 1, document.text[start:end]
            hits.setdefault(first, term.text if term.text == passage.casefold() else f"{term.text} ({passage})")
    return hits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("tuning", "reported"), default="reported")
    parser.add_argument("--lexicons", nargs="+", default=list(read_policy().tiers.lexicons))
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    lexicon = Lexicon(term for name in options.lexicons for term in read_list(name, Path()))
    thresholds = {category: rules[STAGE].threshold for category, rules in read_policy().rules.items()}
    rows: dict[str, list[int]] = {}
    words: dict[str, Counter[str]] = {}
    for document in good_documents(options.half):
        hits = alarms(document, lexicon, thresholds)
        starts = sentence_starts(document.text)
        row = rows.setdefault(document.corpus, [0, 0])
        row[0] += len(starts)
        row[1] += len(hits)
        words.setdefault(document.corpus, Counter()).update(hits.values())
        if options.show:
            for number, word in hits.items():
                sentence = document.text[starts[number] :].split("\n")[0][:120]
                print(f"{document.key}\t{word}\t{sentence}", file=sys.stderr)
    print("| corpus | language | sentences | alarms | share | words |\n|---|---|---|---|---|---|")
    for corpus, (sentences, count) in rows.items():
        top = ", ".join(f"{word} {times}" for word, times in words[corpus].most_common(3)) if options.show else ""
        print(f"| {corpus} | {CORPORA[corpus][0]} | {sentences:,} | {count} | {count / sentences:.4%} | {top} |")
    for language in ("en", "zh"):
        chosen = [row for corpus, row in rows.items() if CORPORA[corpus][0] == language]
        sentences, count = (sum(values) for values in zip(*chosen, strict=True))
        print(f"| all {language} | | {sentences:,} | {count} | {count / sentences:.4%} | |")


if __name__ == "__main__":
    main()
