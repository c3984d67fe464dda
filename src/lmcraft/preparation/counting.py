"""Counts what stages do, and keeps examples of it for people to read."""

import hashlib
from typing import Any

from lmcraft.preparation.contracts import MAX_EXAMPLES, Record, Tally, Verdict

MAX_EXCERPT_CHARS = 1000
ATTRIBUTES = "attributes"  # the note of a record: the groups that it belongs to, by attribute, the most fitting one first
GROUPS = "groups"  # counts by these groups
TASK_ITEMS = "task_items"  # the note of a verdict that lists the items of tasks in a document
UNDETERMINED = "und"  # the code of ISO 639 for a language that is not known


def count_verdict(tally: Tally, stage: str, record: Record, verdict: Verdict, size: int, new_size: int) -> None:
    """Count what a stage did with a document, and perhaps keep it as an example.

    Args:
        tally: is updated.
        stage: the stage's name.
        record: the document, with the text that the stage saw.
        verdict: of the stage.
        size: of that text, in bytes of UTF-8.
        new_size: of the text that remains; 0 for a removed document.
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
        add_example(tally, f"{stage}/{verdict.reason}", record, verdict)
    for attribute, groups in record.notes.get(ATTRIBUTES, {}).items():
        for group in groups:
            group_prefix = f"{GROUPS}/{stage}/{attribute}/{group}"
            add_count(tally, f"{group_prefix}/in", size)
            add_count(tally, f"{group_prefix}/{'removed' if removed else 'kept'}", size if removed else new_size)
    for item in verdict.notes.get(TASK_ITEMS, ()):
        name = f"{TASK_ITEMS}/{stage}/{item}"
        tally.counts[name] = tally.counts.get(name, 0) + 1


def add_count(tally: Tally, name: str, size: int) -> None:
    """Count a document and its bytes."""
    counts = tally.counts
    for key, number in ((f"{name}/documents", 1), (f"{name}/bytes", size)):
        counts[key] = counts.get(key, 0) + number


def add_example(tally: Tally, name: str, record: Record, verdict: Verdict) -> None:
    """Keep a document as an example if the hash of its id is among the least: the same ones in any order of the work."""
    examples = tally.examples.setdefault(name, [])
    rank = hashlib.blake2b("/".join(map(str, record.id)).encode(), digest_size=8).hexdigest()
    if len(examples) >= MAX_EXAMPLES and rank >= examples[-1][0]:
        return
    examples.append((rank, _describe(record, verdict)))
    examples.sort(key=lambda example: example[0])
    del examples[MAX_EXAMPLES:]


def _describe(record: Record, verdict: Verdict) -> dict[str, Any]:
    position = max(record.text.find(verdict.evidence), 0) if verdict.evidence else 0
    start = max(position - MAX_EXCERPT_CHARS // 3, 0)
    described: dict[str, Any] = {
        "id": list(record.id),
        "source": record.notes["source"],
        "name": record.name,
        "line": record.line,
        "language": record.language or UNDETERMINED,
        "excerpt": record.text[start : start + MAX_EXCERPT_CHARS],
        "evidence": verdict.evidence[:MAX_EXCERPT_CHARS],
        "value": verdict.value,
        "threshold": verdict.threshold,
        "match": None if verdict.match is None else list(verdict.match),
    }
    if verdict.text is not None:
        described["after"] = verdict.text[start : start + MAX_EXCERPT_CHARS]
    return described
