"""Counts what stages do, and keeps examples of it for people to read."""

import hashlib
from collections.abc import Callable
from typing import Any

from lmcraft.preparation.contracts import MAX_EXAMPLES, Record, Tally, Verdict

MAX_EXCERPT_CHARS = 1000
ATTRIBUTES = "attributes"  # the note of a record: the groups that it belongs to, by attribute, the most fitting one first
GROUPS = "groups"  # counts by these groups
TASK_ITEMS = "task_items"  # the note of a verdict that lists the items of tasks in a document
PERSONAL_DATA = "personal_data"  # the note of a verdict that counts what was scrubbed by kind
UNDETERMINED = "und"  # the code of ISO 639 for a language that is not known

Passage = Callable[[str, int, int], str]
"""A text's passage from a start to an end, as people may read it."""


def plain_passage(text: str, start: int, stop: int) -> str:
    """The passage as it is."""
    return text[start:stop]


def count_verdict(
    tally: Tally,
    stage: str,
    record: Record,
    verdict: Verdict,
    size: int,
    new_size: int,
    passage: Passage = plain_passage,
) -> None:
    """Count what a stage did with a document, and perhaps keep it as an example.

    Args:
        tally: is updated.
        stage: the stage's name.
        record: the document, with the text that the stage saw.
        verdict: of the stage.
        size: of that text, in bytes of UTF-8.
        new_size: of the text that remains; 0 for a removed document.
        passage: what examples show of a text.
    """
    prefix = f"{stage}/{record.notes['source']}/{record.language or UNDETERMINED}"
    add_count(tally, f"{prefix}/in", size)
    removed = bool(verdict.reason) and verdict.text is None
    if removed:
        add_count(tally, f"{prefix}/removed", size)
    else:
        add_count(tally, f"{prefix}/kept", new_size)
        if verdict.text is not None:
            add_count(tally, f"{prefix}/changed", size - new_size)
    if verdict.reason:
        add_count(tally, f"{prefix}/reason/{verdict.reason}", size - new_size)
        add_example(tally, f"{stage}/{verdict.reason}", record, verdict, passage)
    for attribute, groups in record.notes.get(ATTRIBUTES, {}).items():
        for group in groups:
            group_prefix = f"{GROUPS}/{stage}/{attribute}/{group}"
            add_count(tally, f"{group_prefix}/in", size)
            add_count(tally, f"{group_prefix}/{'removed' if removed else 'kept'}", size if removed else new_size)
    for item in verdict.notes.get(TASK_ITEMS, ()):
        name = f"{TASK_ITEMS}/{stage}/{item}"
        tally.counts[name] = tally.counts.get(name, 0) + 1
    for kind, values in verdict.notes.get(PERSONAL_DATA, {}).items():
        name = f"{PERSONAL_DATA}/{stage}/{record.notes['source']}/{kind}"
        for unit, number in (("documents", 1), ("values", values)):
            tally.counts[f"{name}/{unit}"] = tally.counts.get(f"{name}/{unit}", 0) + number


def add_count(tally: Tally, name: str, size: int) -> None:
    """Count a document and its bytes."""
    counts = tally.counts
    for key, number in ((f"{name}/documents", 1), (f"{name}/bytes", size)):
        counts[key] = counts.get(key, 0) + number


def add_example(tally: Tally, name: str, record: Record, verdict: Verdict, passage: Passage = plain_passage) -> None:
    """Keep a document as an example if the hash of its id is among the least: the same ones in any order of the work."""
    examples = tally.examples.setdefault(name, [])
    rank = hashlib.blake2b("/".join(map(str, record.id)).encode(), digest_size=8).hexdigest()
    if len(examples) >= MAX_EXAMPLES and rank >= examples[-1][0]:
        return
    examples.append((rank, _describe(record, verdict, passage)))
    examples.sort(key=lambda example: example[0])
    del examples[MAX_EXAMPLES:]


def _describe(record: Record, verdict: Verdict, passage: Passage) -> dict[str, Any]:
    text, evidence = record.text, verdict.evidence
    position = text.find(evidence) if evidence else 0
    if position < 0:
        position, text_of_evidence = 0, evidence
    else:
        text_of_evidence = text
    start = max(position - MAX_EXCERPT_CHARS // 3, 0)
    described: dict[str, Any] = {
        "id": list(record.id),
        "source": record.notes["source"],
        "name": passage(record.name, 0, len(record.name)),
        "line": record.line,
        "language": record.language or UNDETERMINED,
        "excerpt": passage(text, start, start + MAX_EXCERPT_CHARS),
        "evidence": passage(text_of_evidence, position, position + min(len(evidence), MAX_EXCERPT_CHARS)),
        "value": verdict.value,
        "threshold": verdict.threshold,
        "match": None if verdict.match is None else list(verdict.match),
    }
    if verdict.text is not None:
        after = passage(verdict.text, start, start + MAX_EXCERPT_CHARS)
        if after != described["excerpt"]:  # as what is redacted in both
            described["after"] = after
    return described
