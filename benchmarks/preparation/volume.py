"""Text of any size: sentences of the good documents, put together anew, edited, and mixed with copies and junk.

A tenth of the documents are exact copies of earlier ones, a tenth near copies, a twentieth junk; the others share only
sentences. All of it follows from the seed, whatever the size of the files. A document has about 3,000 bytes, like web
pages.

python benchmarks/preparation/volume.py --megabytes 100 --out FOLDER
"""

import argparse
import gzip
import json
import random
import re
import sys
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.preparation.corpora import Language, good_documents
from benchmarks.preparation.junk_generator import generate

EXACT_SHARE, NEAR_SHARE, JUNK_SHARE = 0.1, 0.1, 0.05
RECENT_DOCUMENTS = 2000  # that may be copied
MIN_LETTERS = 0.9  # of a sentence's characters, and spaces
EDITED_WORDS = 0.02  # of a near copy
MEDIAN_SENTENCES = {"en": 20, "zh": 40}
SENTENCE_END = {"en": re.compile(r"(?<=[.!?])\s+"), "zh": re.compile(r"(?<=[。！？])\s*")}


def sentences(language: Language) -> list[str]:
    """Sentences of prose and web pages, 20 to 400 characters long (Chinese: 8 to 150), nearly all of them letters.

    So the filters keep most documents, and every step has work to do.
    """
    least, most = (20, 400) if language == "en" else (8, 150)
    texts = [
        d.text
        for h in ("tuning", "reported")
        for d in good_documents(h)
        if d.language == language and d.kind in ("prose", "web")
    ]  # type: ignore[arg-type]
    pieces = (" ".join(piece.split()) for text in texts for piece in SENTENCE_END[language].split(text))
    ending = '.!?"' if language == "en" else "。！？”"
    return [p for p in pieces if least <= len(p) <= most and p[-1] in ending and _letters(p) >= MIN_LETTERS * len(p)]


def _letters(text: str) -> int:
    return sum(character.isalpha() or character in " ，、" for character in text)


def documents(language: Language, seed: int) -> Iterator[str]:
    """Documents without end."""
    draw = random.Random(f"{seed} {language}")
    pool, words = (
        sentences(language),
        ["time", "people", "water", "7", "city"] if language == "en" else list("时人水城国大年三"),
    )
    junk = [entry.text for entry in generate(language, "tuning", 400, seed) if entry.family != "repeated"]
    recent: deque[str] = deque(maxlen=RECENT_DOCUMENTS)
    for number in count():
        kind = draw.random()
        if kind < EXACT_SHARE and recent:
            yield draw.choice(recent)
        elif kind < EXACT_SHARE + NEAR_SHARE and recent:
            yield _edited(draw.choice(recent), words, draw, language)
        elif kind < EXACT_SHARE + NEAR_SHARE + JUNK_SHARE:
            yield f"{draw.choice(junk)}{number}\n"
        else:
            length = min(400, max(5, round(draw.lognormvariate(0.0, 0.7) * MEDIAN_SENTENCES[language])))
            recent.append(_assembled(pool, length, draw, language))
            yield recent[-1]


def _assembled(pool: list[str], length: int, draw: random.Random, language: Language) -> str:
    chosen, paragraphs = draw.choices(pool, k=length), []
    while chosen:
        size = draw.randint(2, 6)
        paragraphs.append(("" if language == "zh" else " ").join(chosen[:size]))
        chosen = chosen[size:]
    return "\n\n".join(paragraphs) + "\n"


def _edited(text: str, words: list[str], draw: random.Random, language: Language) -> str:
    parts = text.split(" ") if language == "en" else list(text)
    share = EDITED_WORDS if language == "en" else EDITED_WORDS / 2
    for position in range(len(parts)):
        if draw.random() < share and "\n" not in parts[position]:
            parts[position] = draw.choice(words)
    return (" " if language == "en" else "").join(parts)


def write_folders(
    folder: Path, megabytes: float, files: int, seed: int, languages: tuple[Language, ...] = ("en", "zh")
) -> int:
    """Write FOLDER/LANGUAGE/NUMBER.jsonl, an equal share of the bytes for each language; returns all bytes."""
    written = 0
    for language in languages:
        (folder / language).mkdir(parents=True, exist_ok=True)
        texts = documents(language, seed)
        for number in range(files):
            with (folder / language / f"{number:03}.jsonl").open("w", encoding="utf-8") as file:
                limit, size = megabytes * 1e6 / files / len(languages), 0
                while size < limit:
                    size += file.write(json.dumps({"text": next(texts)}, ensure_ascii=False) + "\n") * (
                        3 if language == "zh" else 1
                    )
            written += (folder / language / f"{number:03}.jsonl").stat().st_size
    return written


def write_file(path: Path, megabytes: float, seed: int) -> int:
    """Write one file, .jsonl, .txt or .jsonl.gz by its name, with text in both languages; returns its unpacked bytes."""
    texts, written = (documents("en", seed), documents("zh", seed)), 0
    with gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else path.open("wb") as file:
        for number in count():
            text = next(texts[number % 2])
            row = text if ".txt" in path.name else json.dumps({"text": text}, ensure_ascii=False)
            written += file.write((row + "\n").encode("utf-8", "replace"))
            if written >= megabytes * 1e6:
                return written
    raise AssertionError("documents have no end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--files", type=int, default=8, help="files of each language")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    print(f"{write_folders(arguments.out, arguments.megabytes, arguments.files, arguments.seed) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
