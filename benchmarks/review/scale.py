"""How long a reviewer waits for the next item in a store of 100,000, in the cases that are hard for a queue.

Each case has a store of its own, in SQLite or PostgreSQL (a server of this machine, with fsync). The figures are
milliseconds of a call of `ReviewStore`, without HTTP: the clock's, and the median of this thread's CPU time.

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
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import numpy as np
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[2]))
from lmcraft.annotation.agreement.gold import ExpectedVerdict
from lmcraft.annotation.guidelines.guideline import Guideline
from lmcraft.annotation.queue.people import read_today
from lmcraft.annotation.queue.states import bucket_of, grow_bucket
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import items, metadata, reviewers, skips, verdicts
from lmcraft.processor import cpu_name
from tests.annotation.samples import HARM, claimed, verdict
from tests.hyperparameters.postgresql import postgresql

T = TypeVar("T")
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


class Cost(NamedTuple):
    """What a call took."""

    seconds: float
    cpu_seconds: float
    """Of this thread: in PostgreSQL without the server's."""


def timed(call: Callable[[], T]) -> tuple[T, Cost]:
    """The result of a call, and what it took."""
    start, cpu_start = time.perf_counter(), time.thread_time()
    result = call()
    return result, Cost(time.perf_counter() - start, time.thread_time() - cpu_start)


def measure(call: Callable[[], Any], calls: int = CALLS) -> list[Cost]:
    """What each of some calls took."""
    return [timed(call)[1] for _ in range(calls)]


def report(case: str, costs: Sequence[Cost]) -> None:
    p50, p99 = np.percentile([cost.seconds * 1000 for cost in costs], (50, 99))
    cpu = np.median([cost.cpu_seconds * 1000 for cost in costs])
    print(f"| {case} | {p50:.1f} | {p99:.1f} | {cpu:.1f} |", flush=True)


def claim_and_judge(store: ReviewStore, person: str, **claim: Any) -> Cost:
    """Judge the next item; returns what the claim took."""
    answer, cost = timed(lambda: store.claim(person, **claim))
    item = claimed(answer)
    store.judge(item.id, item.token, person, verdict("acceptable"))
    return cost


def settle(store: ReviewStore) -> None:
    """Let PostgreSQL do now what it does in the background in the minutes after 100,000 rows were written."""
    if store.engine.dialect.name == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")


def together(store: ReviewStore, people: Sequence[str], **claim: Any) -> list[Cost]:
    """Several people at work at once, each in a thread, who think for a quarter of a second; what their claims took."""

    def judge_many(person: str) -> list[Cost]:
        moments = random.Random(person)
        costs = []
        for _ in range(CALLS // len(people)):
            time.sleep(moments.uniform(0.0, 2 * THINKING_SECONDS))
            costs.append(claim_and_judge(store, person, **claim))
        return costs

    with ThreadPoolExecutor(len(people)) as pool:
        return [cost for costs in pool.map(judge_many, people) for cost in costs]


def case_queue(store: ReviewStore, number: int) -> None:
    """Ordinary work, then a reviewer who has judged half of all items."""
    _, cost = timed(lambda: fill(store, number))
    report(f"add, {ITEMS_PER_ADD:,} at a time, per item", [Cost(*(seconds / number for seconds in cost))])
    report("claim, nothing judged yet", [claim_and_judge(store, "ann") for _ in range(CALLS)])
    people = [f"person {n}" for n in range(8)]
    settle(store)
    report("claim, 8 reviewers at once", together(store, people))
    act_in_bulk(store, "busy", number // 2)
    report(f"claim, by who has judged {number // 2:,}", [claim_and_judge(store, "busy") for _ in range(CALLS)])
    settle(store)
    report("claim, 8 reviewers at once, after that", together(store, people))
    report("judge", measure_judge(store))
    report("counts", measure(store.counts))
    item = store.find(limit=1)[0][0].id
    report("get", measure(lambda: store.get(item)))
    report("what a person has judged today", measure(lambda: read_today(store, "busy")))
    measure_find(store, number)
    report("votes, all of them", measure(lambda: store.votes("harm"), 5))


def measure_judge(store: ReviewStore) -> list[Cost]:
    costs = []
    for _ in range(CALLS):
        item = claimed(store.claim("judge"))
        new = verdict("acceptable")
        costs += measure(lambda item=item, new=new: store.judge(item.id, item.token, "judge", new), 1)
    return costs


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
    costs = []
    for _ in range(CALLS):
        answer, cost = timed(lambda: store.claim("ann", task="adjudicate", role="owner"))
        costs.append(cost)
        item = claimed(answer)
        store.adjudicate(item.id, item.token, "ann", verdict("harmful"))
    report("claim to adjudicate, half of them by oneself", costs)


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
    print(f"{cpu_name()}, {arguments.database}, {arguments.items:,} items, ms")
    print("\n| call | p50 | p99 | CPU |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder, databases(arguments.database, Path(folder)) as locate:
        for name in arguments.cases:
            location = locate()
            store = ReviewStore.open(location)
            CASES[name](store, arguments.items)
            report(f"open ({name})", measure(lambda location=location: ReviewStore.open(location).close(), 1))
            metadata.drop_all(store.engine)
            store.close()


if __name__ == "__main__":
    main()
