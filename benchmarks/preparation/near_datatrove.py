"""Runs datatrove's MinHash (14 bands of 8, its default) on the texts of a file; writes what is removed.

PEERS/bin/python benchmarks/preparation/near_datatrove.py TEXTS.jsonl WORK RESULT.json

Words are those of lmcraft's search instead of spaCy's and jieba's, so that both compare the same sets: runs of 5 English
words or 8 Chinese characters, each language in a run of its own.
"""

import argparse
import json
import re
import struct
import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.utils.typeshelper import Languages

SINGLE = "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]"
WORD = re.compile(f"{SINGLE}|(?:(?!{SINGLE})[^\\W_])+")
UNIT_DOCUMENTS = 5000  # about 16 MB
RUN_LENGTH = {"en": 5, "zh": 8}


class Words:
    """Takes the place of a word tokenizer of datatrove."""

    def word_tokenize(self, text: str) -> list[str]:
        return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class Reader:
    """The texts of a language; a part of them for each task."""

    name, type = "texts", "reader"

    def __init__(self, texts: Path, language: str) -> None:
        self.texts, self.language = texts, language

    def __call__(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        rows = texts_of(self.texts, self.language)
        for row in islice(rows, rank * UNIT_DOCUMENTS, (rank + 1) * UNIT_DOCUMENTS):
            yield Document(text=row["text"], id=str(row["id"]))


def texts_of(texts: Path, language: str) -> Iterator[dict[str, Any]]:
    """The rows of a language, in order."""
    with texts.open(encoding="utf-8") as file:
        yield from (row for row in map(json.loads, file) if row["language"] == language)


def run(texts: Path, language: str, work: Path) -> list[int]:
    """The ids of the documents that are removed."""
    ids = [row["id"] for row in texts_of(texts, language)]
    config = MinhashConfig(n_grams=RUN_LENGTH[language])
    signature = MinhashDedupSignature(output_folder=str(work / "signatures"), config=config, language=Languages.english)
    signature.word_tokenizer = Words()
    tasks = -(-len(ids) // UNIT_DOCUMENTS)
    options: dict[str, Any] = {"workers": 1, "skip_completed": False}
    for pipeline, count, name in (
        ([Reader(texts, language), signature], tasks, "sign"),
        ([MinhashDedupBuckets(str(work / "signatures"), str(work / "pairs"), config=config)], config.num_buckets, "pair"),
        ([MinhashDedupCluster(str(work / "pairs"), str(work / "removed"), config=config)], 1, "cluster"),
    ):
        LocalPipelineExecutor(pipeline, tasks=count, logging_dir=str(work / f"log-{name}"), **options).run()
    removed = []
    for file in sorted((work / "removed").glob("*.remove")):
        first = int(file.stem) * UNIT_DOCUMENTS
        removed += [ids[first + place] for (place,) in struct.iter_unpack("<I", file.read_bytes())]
    return removed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("result", type=Path)
    arguments = parser.parse_args()
    removed = [number for language in RUN_LENGTH for number in run(arguments.texts, language, arguments.work / language)]
    arguments.result.write_text(json.dumps({"removed": [[number, None, None] for number in removed]}))


if __name__ == "__main__":
    main()
