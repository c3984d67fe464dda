"""A person's texts as passages of some sentences, and which of them are held out."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmcraft.data.documents import ReadStats
from lmcraft.data.sources import TextSources
from lmcraft.errors import UserError
from lmcraft.evaluation.style import words_of

PASSAGE_WORDS = 110
MIN_PASSAGES = 24
HELD_OUT_SHARE = 0.15
SENTENCE = re.compile(r"\S.*?(?:[.!?…][\"'”’)\]]*(?=\s|$)|[。！？…]+[”’」』）]*|$)", re.DOTALL)
HEADING = re.compile(r"\s*#{1,6} |\s*(?:CHAPTER|Chapter)\b|\s*第.{1,6}[章回节]")


@dataclass(frozen=True)
class Passage:
    """Whole sentences that follow each other."""

    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return join(self.sentences)

    def halves(self) -> tuple[str, str]:
        """The sentences up to the middle of the words, and the others."""
        total, count = len(words_of(self.text)), 0
        for number, sentence in enumerate(self.sentences[:-1], start=1):
            count += len(words_of(sentence))
            if 2 * count >= total:
                return join(self.sentences[:number]), join(self.sentences[number:])
        return join(self.sentences[:-1]), self.sentences[-1]


def join(sentences: Sequence[str]) -> str:
    """Sentences with a space between those that need one."""
    text = ""
    for sentence in sentences:
        text += ("" if not text or (not text[-1].isascii() and text[-1] in "。！？…”’」』）") else " ") + sentence
    return text


def read_passages(folder: Path, include: Sequence[str] = ("*.md", "*.markdown", "*.txt")) -> list[Passage]:
    """The different passages of the files in a folder, or of one file, in order.

    Raises:
        UserError: there are no such files, or too little text.
    """
    sources = TextSources([str(folder)], include=include)
    every = [passage for document in sources.read(ReadStats()) for passage in cut(document.text)]
    passages = list({passage.text: passage for passage in every}.values())
    if len(passages) < MIN_PASSAGES:
        words = sum(len(words_of(passage.text)) for passage in passages)
        raise UserError(
            f"--texts {folder}: {words:,} words in sentences are too few to learn a style from; give "
            f"{MIN_PASSAGES * PASSAGE_WORDS:,} or more"
        )
    return passages


def cut(text: str) -> Iterator[Passage]:
    """The passages of a text: neither headings, lists and code, nor paragraphs that are one sentence without an end."""
    sentences: list[str] = []
    words = 0
    for paragraph in re.split(r"\n\s*\n", text.replace("\0", "")):
        if HEADING.match(paragraph) or paragraph.lstrip().startswith(("```", "|", "- ", "* ", "    ")):
            continue
        for sentence in SENTENCE.findall(" ".join(paragraph.split())):
            count = len(words_of(sentence))
            if not count or count > PASSAGE_WORDS:
                sentences, words = [], 0  # no passage runs across what is left out
                continue
            sentences.append(sentence)
            words += count
            if words >= PASSAGE_WORDS and len(sentences) > 1:
                yield Passage(tuple(sentences))
                sentences, words = [], 0


def divide(passages: Sequence[Passage]) -> tuple[list[Passage], list[Passage]]:
    """Those to learn from, and the last ones, which are held out."""
    held_out = max(8, round(HELD_OUT_SHARE * len(passages)))
    return list(passages[:-held_out]), list(passages[-held_out:])
