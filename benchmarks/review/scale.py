"""How long a reviewer waits for the next item in a store of 100,000, in the cases that are hard for a queue.

Each case has a store of its own, in SQLite or PostgreSQL (a server of this machine, with fsync). The figures are
milliseconds of a call of `ReviewStore`, without HTTP.

python benchmarks/review/scale.py --database sqlite
python benchmarks/review/scale.py --database postgresql --items 100000
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[2]))
from lmcraft.annotation.gold import ExpectedVerdict
from lmcraft.annotation.guidelines import Guideline
from lmcraft.annotation.people import read_today
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.states import bucket_of, grow_bucket
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import items, metadata, reviewers, skips, verdicts
from lmcraft.processor import cpu_name
from tests.annotation.samples import HARM, claimed, verdict
from tests.hyperparameters.postgresql import postgresql

CALLS = 200
ITEMS_PER_ADD = 5_000
THINKING_SECONDS = 0.25  # of a reviewer, on average
TEXT = "The quick brown fox jumps over the lazy dog, and nobody is harmed. " * 15  # about 1,000 characters


def fill(store: ReviewStore, number: int, guidelines: Sequence[Guideline] = (HARM,), **fields: Any) -> None:
    """Add items, of random priority unless they are gold."""
    generator = np.random.default_rng(0)
    for guideline in guidelines:
        store.add_guideline(guideline, "owner")
    for start in range(0, number, ITEMS_PER_ADD):
        scores = generator.random((ITEMS_PER_ADD, 2))
        new = [
            NewItem(
                guideline=guidelines[n % len(guidelines)].name,
                messages=[{"role": "user", "content": f"Question {n}?"}],
                answers=[f"Answer {n}: {TEXT}"],
                source="server",
                severity=0.0 if fields else float(scores[n - start, 0]),
                uncertainty=0.0 if fields else float(scores[n - start, 1]),
                **fields,
            )
            for n in range(start, min(start + ITEMS_PER_ADD, number))
        ]
        store.add(new, "owner")


def act_in_bulk(store: ReviewStore, person: str, number: int, action: str = "judge") -> None:
    """Have one person judge or escalate the items that come first: the rows that so many calls would leave."""
    with store.writing() as (connection, now):
        query = sa.select(items).where(items.c.state == "pending").order_by(items.c.priority.desc(), items.c.position)
        rows = [dict(row) for row in connection.execute(query.limit(number)).mappings()]
        is_gold = rows[0]["expected_label"] is not None
        state = {"judge": {"state": "reviewed", "num_verdicts": 1}, "escalate": {"state": "escalated"}}[action]
        changed = {**rows[0], **({} if is_gold else state)}
        bucket = bucket_of(connection, changed, [] if is_gold else [person])
        grow_bucket(connection, rows[0]["bucket"], -len(rows))
        grow_bucket(connection, bucket, len(rows))
        columns = {"reviewer": person, "created": now, "comment": "", "answer_state": "reviewed", "answer_verdicts": 1}
        if action == "judge":
            columns |= {
                "kind": "review",
                "guideline": "harm",
                "version": 1,
                "label": "acceptable",
                "rule": "H1",
                "round": None,
            }
            columns |= {"correction": "", "contains": "[]", "excludes": "[]", "seconds": 1.0, "swapped": False}
            new = [{**columns, "id": uuid4().hex, "item": row["id"], "is_gold": is_gold} for row in rows]
            connection.execute(verdicts.insert(), new)
        else:
            new = [{**columns, "item": row["id"], "kind": action, "task": "review", "token": ""} for row in rows]
            connection.execute(skips.insert(), new)
        positions = [row["position"] for row in rows]
        for start in range(0, len(positions), 500):
            chosen = items.c.position.in_(positions[start : start + 500])
            values = {"bucket": bucket, "state": changed["state"], "num_verdicts": changed["num_verdicts"]}
            connection.execute(items.update().where(chosen).values(values))
        done = max(positions) if is_gold else 0  # all gold items, since they have one priority
        progress = {"name": person, "guideline": "harm", "num_judged": len(rows), "gold_position": done}
        connection.execute(reviewers.insert().values(progress))


def measure(call: Callable[[], Any], calls: int = CALLS) -> list[float]:
    """The seconds of each call."""
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def report(case: str, seconds: Sequence[float]) -> None:
    p50, p99 = np.percentile(np.array(seconds) * 1000, (50, 99))
    print(f"| {case} | {p50:.1f} | {p99:.1f} |", flush=True)


def claim_and_judge(store: ReviewStore, person: str, **claim: Any) -> float:
    """Judge the next item; returns the seconds of the claim."""
    start = time.perf_counter()
    item = claimed(store.claim(person, **claim))
    seconds = time.perf_counter() - start
    store.judge(item.id, item.token, person, verdict("acceptable"))
    return seconds


def together(store: ReviewStore, people: Sequence[str], **claim: Any) -> list[float]:
    """Several people at work at once, each in a thread, who think for a quarter of a second; the seconds of their claims."""

    def judge_many(person: str) -> list[float]:
        moments = random.Random(person)
        seconds = []
        for _ in range(CALLS // len(people)):
            time.sleep(moments.uniform(0.0, 2 * THINKING_SECONDS))
            seconds.append(claim_and_judge(store, person, **claim))
        return seconds

    with ThreadPoolExecutor(len(people)) as pool:
        return [seconds for result in pool.map(judge_many, people) for seconds in result]


def case_queue(store: ReviewStore, number: int) -> None:
    """Ordinary work, then a reviewer who has judged half of all items."""
    start = time.perf_counter()
    fill(store, number)
    report(f"add, {ITEMS_PER_ADD:,} at a time, per item", [(time.perf_counter() - start) / number])
    report("claim, nothing judged yet", [claim_and_judge(store, "ann") for _ in range(CALLS)])
    people = [f"person {n}" for n in range(8)]
    report("claim, 8 reviewers at once", together(store, people))
    act_in_bulk(store, "busy", number // 2)
    report(f"claim, by who has judged {number // 2:,}", [claim_and_judge(store, "busy") for _ in range(CALLS)])
    report("claim, 8 reviewers at once, after that", together(store, people))
    report("judge", measure_judge(store))
    report("counts", measure(store.counts))
    item = store.find(limit=1)[0][0].id
    report("get", measure(lambda: store.get(item)))
    report("what a person has judged today", measure(lambda: read_today(store, "busy")))
    measure_find(store, number)
    report("votes, all of them", measure(lambda: store.votes("harm"), 5))


def measure_judge(store: ReviewStore) -> list[float]:
    seconds = []
    for _ in range(CALLS):
        item = claimed(store.claim("judge"))
        new = verdict("acceptable")
        seconds += measure(lambda item=item, new=new: store.judge(item.id, item.token, "judge", new), 1)
    return seconds


def measure_find(store: ReviewStore, number: int) -> None:
    report("find, first page", measure(store.find))
    report("find, first page of a state", measure(lambda: store.find(state="reviewed")))
    report(
        "find, a guideline, a state and a source",
        measure(lambda: store.find(guideline="harm", state="pending", source="server")),
    )
    report("find, nothing of that source", measure(lambda: store.find(source="report")))
    report("find, a state and a source that never meet", measure(lambda: store.find(state="pending", source="report")))
    report("find, claimed", measure(lambda: store.find(state="claimed")))
    after = ""
    for _ in range(number // 2 // 1000):
        after = store.find(limit=1000, after=after)[1]
    report("find, a page from the middle", measure(lambda: store.find(after=after)))
    report("find, a frequent word", measure(lambda: store.find(search="lazy DOG"), 20))
    report("find, a word that one item has", measure(lambda: store.find(search=f"answer {number - 1}:"), 5))


def case_guidelines(store: ReviewStore, number: int) -> None:
    guidelines = [replace(HARM, name=f"guideline-{n}") for n in range(5)]
    fill(store, number, guidelines)
    report("claim, of one of 5 guidelines", [claim_and_judge(store, "ann", guideline="guideline-3") for _ in range(CALLS)])


def case_gold(store: ReviewStore, number: int) -> None:
    fill(store, number, expected=ExpectedVerdict("harmful"))
    report("claim, all items are gold (none is given)", measure(lambda: store.claim("ann")))
    act_in_bulk(store, "busy", number // 2)
    store.add([NewItem(guideline="harm", answers=[str(n)], source="file") for n in range(1000)], "owner")
    store.set_setting("gold_share", 0.5, "owner")
    report(
        f"claim, half gold, by who has judged {number // 2:,} gold items",
        [claim_and_judge(store, "busy") for _ in range(CALLS)],
    )


def case_escalated(store: ReviewStore, number: int) -> None:
    fill(store, number)
    act_in_bulk(store, "ann", number // 2, "escalate")
    act_in_bulk(store, "bob", number // 2, "escalate")
    report("claim to review, all items are escalated", measure(lambda: store.claim("joe")))
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        item = claimed(store.claim("ann", task="adjudicate", role="owner"))
        seconds.append(time.perf_counter() - start)
        store.adjudicate(item.id, item.token, "ann", verdict("harmful"))
    report("claim to adjudicate, half of them by oneself", seconds)


def case_people(store: ReviewStore, number: int) -> None:
    fill(store, number)
    for n in range(200):
        act_in_bulk(store, f"person {n}", number // 200)
    report("claim, each of 200 people has judged a part", [claim_and_judge(store, f"person {n}") for n in range(CALLS)])


def case_sensitive(store: ReviewStore, number: int) -> None:
    fill(store, number, (replace(HARM, sensitive=True),))
    store.set_setting("exposure_cap", 100_000, "owner")
    report("claim, sensitive items", [claim_and_judge(store, "ann") for _ in range(CALLS)])
    store.set_setting("exposure_cap", 1, "owner")
    report("claim, at the exposure cap", measure(lambda: store.claim("ann")))


CASES = {name.removeprefix("case_"): function for name, function in list(globals().items()) if name.startswith("case_")}


@contextmanager
def databases(kind: str, folder: Path) -> Iterator[Callable[[], str]]:
    """Yields a function that returns the location of an empty database."""
    if kind == "sqlite":
        yield lambda: str(folder / f"{uuid4().hex}.sqlite")
        return
    with postgresql(fsync=True) as url:
        yield lambda: url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES))
    arguments = parser.parse_args()
    print(
        f"{cpu_name()}, {arguments.database}, {arguments.items:,} items, ms\n\n| call | p50 | p99 |\n|---|---|---|",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder, databases(arguments.database, Path(folder)) as locate:
        for name in arguments.cases:
            location = locate()
            store = ReviewStore.open(location)
            CASES[name](store, arguments.items)
            start = time.perf_counter()
            ReviewStore.open(location).close()
            report(f"open ({name})", [time.perf_counter() - start])
            metadata.drop_all(store.engine)
            store.close()


if __name__ == "__main__":
    main()
