"""How long a reviewer waits for the next item in a store of 100,000, in the cases that are hard for a queue.

Each case has a store of its own, in SQLite or PostgreSQL (a server of this machine, with fsync). The figures are
milliseconds of a call of `ReviewStore`, without HTTP.

python benchmarks/review/scale.py --database sqlite
python benchmarks/review/scale.py --database postgresql --items 100000
"""

import argparse
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

sys.path.insert(0, str(Path(__file__).parents[2]))
from lmcraft.annotation.gold import ExpectedVerdict
from lmcraft.annotation.guidelines import Guideline
from lmcraft.annotation.leases import Rules, claim_item
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import metadata
from lmcraft.annotation.verdicts import judge_item, skip_item, verdict_columns
from lmcraft.annotation.versions import GuidelineVersions
from lmcraft.processor import cpu_name
from tests.annotation.samples import HARM, claimed, verdict
from tests.hyperparameters.postgresql import postgresql

CALLS = 200
ITEMS_PER_ADD = 5_000
TEXT = "The quick brown fox jumps over the lazy dog, and nobody is harmed. " * 15  # about 1,000 characters
RULES = Rules(lease_seconds=600.0, exposure_cap=10**6, gold_share=0.0, salt="salt")


def fill(store: ReviewStore, number: int, guidelines: Sequence[Guideline] = (HARM,), **fields: Any) -> None:
    """Add items of random priority."""
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
                severity=float(scores[n - start, 0]),
                uncertainty=float(scores[n - start, 1]),
                **fields,
            )
            for n in range(start, min(start + ITEMS_PER_ADD, number))
        ]
        store.add(new, "owner")


def work(store: ReviewStore, people: Sequence[str], number: int, action: str, rules: Rules = RULES) -> None:
    """Have people in turn judge, skip or escalate so many items, in one transaction, which costs no time per commit."""
    with store.writing() as (connection, now):
        versions = GuidelineVersions(connection)
        current = versions.current()
        for n in range(number):
            person = people[n % len(people)]
            item = claimed(claim_item(connection, person, "review", current, rules, now))
            if action == "judge":
                columns = verdict_columns(verdict("acceptable"))
                judge_item(connection, item.id, item.token, person, "review", columns, versions, now)
            else:
                skip_item(connection, item.id, item.token, person, "review", action, "", now)


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
    """Several people at work at once, each in a thread; the seconds of their claims."""

    def judge_many(person: str) -> list[float]:
        return [claim_and_judge(store, person, **claim) for _ in range(CALLS // len(people))]

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
    work(store, ["busy"], number // 2, "judge")
    report(f"claim, by who has judged {number // 2:,}", [claim_and_judge(store, "busy") for _ in range(CALLS)])
    report("claim, 8 reviewers at once, after that", together(store, people))
    report("judge", measure_judge(store))
    report("counts", measure(store.counts))
    report("get", measure(lambda: store.get(store.find(limit=1)[0][0].id)))
    measure_find(store, number)
    report("votes", measure(lambda: store.votes("harm"), 5))
    work(store, ["other"], number // 10, "judge")
    report("settled, all of them", measure(lambda: list(store.settled()), 3))


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
    store.add([NewItem(guideline="harm", answers=[str(n)], source="file") for n in range(1000)], "owner")
    work(store, ["busy"], number // 2, "judge", replace(RULES, gold_share=1.0))
    store.set_setting("gold_share", 0.5, "owner")
    report(
        f"claim, half gold, by who has judged {number // 2:,} gold items",
        [claim_and_judge(store, "busy") for _ in range(CALLS)],
    )


def case_escalated(store: ReviewStore, number: int) -> None:
    fill(store, number)
    work(store, ["ann", "bob"], number, "escalate")
    report("claim to review, all items are escalated", measure(lambda: store.claim("joe")))
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        item = claimed(store.claim("ann", task="adjudicate", role="owner"))
        seconds.append(time.perf_counter() - start)
        store.adjudicate(item.id, item.token, "ann", verdict("harmful"))
    report("claim to adjudicate, half of them by oneself", seconds)


def case_many_people(store: ReviewStore, number: int) -> None:
    fill(store, number, (replace(HARM, reviews=3),))
    people = [f"person {n}" for n in range(50)]
    work(store, people, number // 2, "judge")
    work(store, ["all"], number, "judge")
    report("claim, 3 reviews, 50 reviewers judged half", [claim_and_judge(store, people[n % 50]) for n in range(CALLS)])
    report("claim, by who has judged everything", measure(lambda: store.claim("all")))


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
