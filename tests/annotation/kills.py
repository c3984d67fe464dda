"""A server of reviews that is killed at random moments while reviewers work, and what must be true afterwards."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lmcraft.annotation.audit_log.verification import verify
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import items, verdicts
from lmcraft.server.http.keys import add_to_file
from tests.annotation.samples import HARM
from tests.forked import ForkedCommand
from tests.server.ports import free_port
from tests.server.serve_process import start_server

PROGRAM = Path(__file__).with_name("reviewer_program.py")
REVIEWS = 2  # of an item


@dataclass
class Outcome:
    """What a run left: counts, and each thing that should not be."""

    kills: int
    claims: int
    acknowledged: int
    repeated: int
    """Verdicts that were in the store, although their answer was lost and the item's claim gone."""
    faults: list[str]


def run(location: str, folder: Path, *, reviewers: int, num_items: int, kills: int, seconds: float, seed: int) -> Outcome:
    """Let reviewers work against a server that is killed so many times, each after at most so many seconds of work.

    Args:
        location: of an empty store.
        folder: for journals and keys.
        reviewers: number of processes.
        num_items: to judge.
        kills: how often the server is killed.
        seconds: between two kills, at most.
        seed: of moments and verdicts.
    """
    fill(location, num_items)
    names = [f"reviewer-{n}" for n in range(reviewers)]
    keys = [add_to_file(folder / "keys.toml", name, role="reviewer") for name in names]
    port = free_port()
    moments = random.Random(seed)
    server = start(location, folder, port)
    try:
        with crew(port, names, keys, folder, seed):
            for _ in range(kills):
                time.sleep(moments.uniform(0.05, seconds))
                server.kill()
                server.wait()
                server = start(location, folder, port)
            time.sleep(seconds)
    finally:
        server.kill()
        server.wait()
    return inspect(location, [folder / f"{name}.jsonl" for name in names], kills)


def fill(location: str, number: int) -> None:
    store = ReviewStore.open(location)
    store.add_guideline(HARM, "owner")
    store.add([NewItem(guideline="harm", answers=[f"Answer {n}"], source="file") for n in range(number)], "owner")
    store.close()


def start(location: str, folder: Path, port: int) -> ForkedCommand:
    """Start the server, and wait until it answers."""
    options = ("--reviews", location, "--api-keys", str(folder / "keys.toml"), "--store", "none")
    return start_server(*options, port=port, log=folder / "server.log")


@contextmanager
def crew(port: int, names: Sequence[str], keys: Sequence[str], folder: Path, seed: int) -> Iterator[None]:
    """Reviewers at work."""
    labels = ",".join(label.name for label in HARM.labels)
    processes = []
    try:
        for number, (name, key) in enumerate(zip(names, keys, strict=True)):
            journal = folder / f"{name}.jsonl"
            arguments = [f"http://127.0.0.1:{port}", key, str(journal), str(seed * 1000 + number), labels, "H1"]
            processes.append(subprocess.Popen([sys.executable, str(PROGRAM), *arguments], env=os.environ.copy()))
        yield
        assert all(process.poll() is None for process in processes), "a reviewer has ended"
    finally:
        for process in processes:
            process.kill()
            process.wait()


def inspect(location: str, journals: Sequence[Path], kills: int) -> Outcome:
    """Compare what the reviewers noted with what the store has."""
    notes = {journal.stem: _read(journal) for journal in journals}
    store = ReviewStore.open(location, create=False)
    with store.reading() as (connection, _):
        rows = [row._asdict() for row in connection.execute(sa.select(verdicts))]
        states = [row._asdict() for row in connection.execute(sa.select(items))]
    faults = [*_check_verdicts(notes, rows), *_check_items(rows, states), *_check_holders(notes)]
    faults += [problem.text for problem in verify(store.engine).problems]
    store.close()
    answered = [
        note for person in notes.values() for note in person if note["event"] == "answered" and note["status"] == 201
    ]
    acknowledged = {note["id"] for note in answered}
    claims = sum(note["event"] == "claimed" for person in notes.values() for note in person)
    return Outcome(kills, claims, len(acknowledged), len({row["id"] for row in rows} - acknowledged), faults)


def _check_verdicts(notes: dict[str, list[Any]], rows: list[Any]) -> Iterator[str]:
    stored = {row["id"]: row for row in rows}
    if len(stored) < len(rows):
        yield "a verdict is in the store twice"
    sent = {}
    for person, lines in notes.items():
        for note in lines:
            if note["event"] == "sent" and note["action"] == "judge":
                sent[note["id"]] = (note["item"], person, note["label"])
            elif note["event"] == "answered" and note["status"] not in (200, 201):
                yield f"{person} got the status {note['status']} for {note['action']}: {note['answer']}"
            elif note["event"] == "answered" and note["action"] == "judge" and note["id"] not in stored:
                yield f"the acknowledged verdict {note['id']} of {person} is lost"
    for row in rows:
        if sent.get(row["id"]) != (row["item"], row["reviewer"], row["label"]):
            yield f"verdict {row['id']} of {row['reviewer']} was not sent like this"


def _check_items(rows: list[Any], states: list[Any]) -> Iterator[str]:
    by_item: dict[str, list[Any]] = {row["id"]: [] for row in states}
    for row in rows:
        by_item[row["item"]].append(row)
    for row in states:
        item_verdicts = by_item[row["id"]]
        doubled = [name for name, number in Counter(verdict["reviewer"] for verdict in item_verdicts).items() if number > 1]
        if doubled or len(item_verdicts) > REVIEWS or row["num_verdicts"] != len(item_verdicts):
            yield f"item {row['id']} has {len(item_verdicts)} verdicts, counts {row['num_verdicts']}, twice by {doubled}"
        labels = {verdict["label"] for verdict in item_verdicts}
        state = "pending" if not labels else "disagreed" if len(labels) > 1 else "reviewed"
        if row["state"] != state and row["num_skips"] < 2:
            yield f"item {row['id']} is {row['state']}, but should be {state}"


def _check_holders(notes: dict[str, list[Any]]) -> Iterator[str]:
    """A person holds an item from the answer to the claim until the verdict or release is first sent."""
    spans: dict[str, list[tuple[float, float, str]]] = {}
    for person, lines in notes.items():
        for note, following in pairwise([*lines, {"time": float("inf"), "event": "end"}]):
            if note["event"] == "claimed":
                spans.setdefault(note["item"], []).append((note["time"], following["time"], person))
    for item, held in spans.items():
        for (_, end, first), (begin, _, second) in pairwise(sorted(held)):
            if begin < end and first != second:
                yield f"{first} and {second} held item {item} at once"


def _read(journal: Path) -> list[Any]:
    """The lines of a journal, the last of which a kill may have cut."""
    lines = journal.read_text(encoding="utf-8").split("\n")[:-1] if journal.exists() else []
    return [json.loads(line) for line in lines]
