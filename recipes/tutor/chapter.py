"""A chapter as sections with their sentences, definitions and examples of code."""

import doctest
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lmcraft.retrieval.documents import Document, read_document
from lmcraft.retrieval.passages import cut_document

_SENTENCE = re.compile(r"[^.!?。！？]+(?:[.!?](?=\S)[^.!?。！？]+)*(?:[.!?](?=\s|$)|[。！？])")
_SIGNATURE = re.compile(r"(?:[a-z_]+\.)?([a-z_]+)\([^()]*(?:\[[^()]*\])?\)$")
_FENCE = re.compile(r"```[^\n]*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Definition:
    """A function or method, as `name(arguments)` on a line of its own, and the paragraph below it."""

    signature: str
    name: str
    text: str


@dataclass
class Section:
    """What stands under one heading."""

    title: str
    sentences: list[str] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)
    sessions: list[list[doctest.Example]] = field(default_factory=list)
    """Interactive sessions of Python, as doctest reads them."""


def read_chapter(file: Path) -> list[Section]:
    """The sections of a file in Markdown, HTML or plain text, without those that have no sentence."""
    sections: dict[str, Section] = {}
    signature: re.Match[str] | None = None
    for passage in cut_document(Document(file.name, read_document(file)), max_chars=4000):
        section = sections.setdefault(passage.heading, Section(passage.heading.rpartition(" › ")[2]))
        for start, end in passage.blocks:
            block = passage.text[start:end].strip()
            if fenced := _FENCE.fullmatch(block):
                section.sessions += _session(fenced[1])
            elif signature is not None:
                section.definitions.append(Definition(signature[0], signature[1], next(iter(sentences(block)), block)))
            if "```" not in block:
                signature = _SIGNATURE.match(block)
                section.sentences += sentences(block)
    return [section for section in sections.values() if section.sentences]


def sentences(block: str) -> list[str]:
    """The sentences of a paragraph; the rows of tables and headings are none."""
    return [match[0].strip() for match in _SENTENCE.finditer(" ".join(block.split())) if " | " not in match[0]]


def _session(code: str) -> Iterator[list[doctest.Example]]:
    try:
        examples = doctest.DocTestParser().get_examples(code)
    except ValueError:
        return
    if examples:
        yield examples
