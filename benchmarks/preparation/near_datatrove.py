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
from contextlib import ExitStack
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
    """The texts of a part, a task each."""

    name, type = "texts", "reader"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        with (self.folder / f"{rank:05}.jsonl").open(encoding="utf-8") as file:
            for row in map(json.loads, file):
                yield Document(text=row["text"], id=str(row["id"]))


def divide(texts: Path, language: str, folder: Path) -> list[int]:
    """Write the texts of a language in parts; returns their ids."""
    folder.mkdir(parents=True)
    ids: list[int] = []
    with texts.open(encoding="utf-8") as file, ExitStack() as parts:
        for line in file:
            row = json.loads(line)
            if row["language"] == language:
                if len(ids) % UNIT_DOCUMENTS == 0:
                    name = f"{len(ids) // UNIT_DOCUMENTS:05}.jsonl"
                    part = parts.enter_context((folder / name).open("w", encoding="utf-8"))
                part.write(line)
                ids.append(row["id"])
    return ids


def run(texts: Path, language: str, work: Path) -> list[int]:
    """The ids of the documents that are removed."""
    ids = divide(texts, language, work / "texts")
    config = MinhashConfig(n_grams=RUN_LENGTH[language])
    signature = MinhashDedupSignature(output_folder=str(work / "signatures"), config=config, language=Languages.english)
    signature.word_tokenizer = Words()
    tasks = -(-len(ids) // UNIT_DOCUMENTS)
    options: dict[str, Any] = {"workers": 1, "skip_completed": False}
    for pipeline, count, name in (
        ([Reader(work / "texts"), signature], tasks, "sign"),
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
