"""Cuts documents into passages at headings and blank lines."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lmcraft.retrieval.documents import Document

MAX_PASSAGE_CHARS = 1200
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"([=\-~^\"'*+#])\1{2,}\s*$")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9])|[。！？；][”’）]*|\n")


@dataclass(frozen=True)
class Passage:
    """A piece of a document: `document.text[start:end] == text`."""

    document: str
    heading: str
    """The headings that it stands under, from the outermost, joined by " › "; empty: none."""
    start: int
    end: int
    text: str
    blocks: tuple[tuple[int, int], ...]
    """Begin and end of its paragraphs and code blocks in `text`."""


@dataclass(frozen=True)
class _Block:
    start: int
    end: int
    headings: tuple[str, ...]


def cut_document(document: Document, max_chars: int = MAX_PASSAGE_CHARS) -> Iterator[Passage]:
    """The passages of a document: whole paragraphs under the same heading, at most `max_chars` characters together.

    A paragraph that is longer is cut between sentences, and a sentence between words. Headings are in no passage.
    """
    group: list[_Block] = []
    for block in _short_blocks(document.text, max_chars):
        if group and (block.headings != group[0].headings or block.end - group[0].start > max_chars):
            yield _passage(document, group)
            group = []
        group.append(block)
    if group:
        yield _passage(document, group)


def _passage(document: Document, group: Sequence[_Block]) -> Passage:
    start, end = group[0].start, group[-1].end
    blocks = tuple((block.start - start, block.end - start) for block in group)
    return Passage(document.name, " › ".join(group[0].headings), start, end, document.text[start:end], blocks)


def _short_blocks(text: str, max_chars: int) -> Iterator[_Block]:
    for block in _blocks(text):
        for start, end in cut_sentences(text, block.start, block.end, max_chars):
            yield _Block(start, end, block.headings)


def cut_sentences(text: str, start: int, end: int, max_chars: int) -> Iterator[tuple[int, int]]:
    """Pieces of `text[start:end]` of at most `max_chars` characters, cut between sentences where that is possible."""
    while end - start > max_chars:
        window = text[start : start + max_chars]
        cuts = [match.end() for match in _SENTENCE_END.finditer(window)] or [window.rfind(" ") + 1 or max_chars]
        if piece := window[: cuts[-1]].rstrip():
            yield start, start + len(piece)
        start += cuts[-1]
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end


def _blocks(text: str) -> Iterator[_Block]:
    """Paragraphs and fenced code, each with the headings above it."""
    headings: dict[int, str] = {}
    underlines: list[str] = []
    fence = ""
    begin, position, lines = -1, 0, text.splitlines(keepends=True)

    def block(end: int) -> Iterator[_Block]:
        if begin >= 0:
            yield _Block(begin, begin + len(text[begin:end].rstrip()), tuple(headings.values()))

    for n, line in enumerate(lines):
        start, position = position, position + len(line)
        if fence:
            fence = "" if line.strip().startswith(fence) else fence
            continue
        if match := _FENCE.match(line):
            fence, begin = match[1], start if begin < 0 else begin
        elif (heading := _HEADING.match(line)) or not line.strip():
            yield from block(start)
            begin = -1
            if heading:
                _enter(headings, len(heading[1]), heading[2])
        elif begin < 0 and n + 1 < len(lines) and (rule := _underline(line, lines[n + 1])):
            underlines += [] if rule in underlines else [rule]
            _enter(headings, underlines.index(rule) + 1, line.strip())
        elif begin < 0 and not _UNDERLINE.match(line):
            begin = start
    yield from block(position)


def _underline(line: str, below: str) -> str:
    """The character that underlines a title; empty: none does."""
    match = _UNDERLINE.match(below)
    is_title = match is not None and len(below.strip()) >= len(line.strip()) * 0.8 and not _UNDERLINE.match(line)
    return match[1] if match is not None and is_title else ""


def _enter(headings: dict[int, str], level: int, title: str) -> None:
    for deeper in [key for key in headings if key >= level]:
        del headings[deeper]
    if title:
        headings[level] = title
