"""Samples in the store: what was drawn, and whether the verdicts on it reach the bar of the guideline's plan."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Literal

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import append
from lmcraft.annotation.content import check_content
from lmcraft.annotation.guidelines.guideline import Guideline, Stratum
from lmcraft.annotation.guidelines.sampling import draw_sample, find_stratum
from lmcraft.annotation.queue.adding import add_items
from lmcraft.annotation.queue.versions import GuidelineVersions
from lmcraft.annotation.records import Json, NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import items, sample_items, samples
from lmcraft.database import check_text
from lmcraft.errors import UserError
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.proportions import proportion

State = Literal["met", "not_met", "undecided"]
MAX_NAME_CHARS = 64
MAX_SEED = 2**63 - 1
ROWS_PER_STATEMENT = 500
_ROUNDING = 1e-9  # of a bar, which is a decimal number


@dataclass(frozen=True)
class AddedSample:
    """What drawing a sample did to the store."""

    drawn: int
    new: int
    """Those that the store did not have as items of the guideline."""
    pool: Mapping[str, int]
    """The items of the pool in each group."""
    is_repeated: bool
    """The same sample was drawn before, so nothing changed."""


@dataclass(frozen=True)
class GroupResult:
    """The verdicts on a group of a sample."""

    group: str
    drawn: int
    settled: int
    counted: int


@dataclass(frozen=True)
class StratumResult:
    """The verdicts on a sample."""

    stratum: Stratum
    name: str
    """Of the sample."""
    pool: int
    drawn: int
    settled: int
    """Items with a final label."""
    counted: int
    """Settled items whose label the plan counts."""
    unsure: int
    """Settled items whose label is undecided, and not one that the plan counts; they count against the bar."""
    share: Metric
    """Counted items among the settled ones, with a 95% interval."""
    state: State
    """Whether the share of the whole pool reaches the bar: undecided while the interval contains it."""
    sample_state: State
    """Whether the share of the sample itself does, as a standard asks for: undecided while open items can change it."""
    groups: tuple[GroupResult, ...] = field(default=())

    def as_json(self) -> Json:
        """All figures, with the bar."""
        names = ("name", "pool", "drawn", "settled", "counted", "unsure", "state", "sample_state")
        bar = {"at_least": self.stratum.at_least, "at_most": self.stratum.at_most}
        share = asdict(self.share) if self.settled else None
        return {
            "stratum": self.stratum.name,
            "title": dict(self.stratum.title),
            "labels": list(self.stratum.labels),
            **bar,
            **{name: getattr(self, name) for name in names},
            "share": share,
            "groups": [asdict(group) for group in self.groups],
        }


def add_sample(
    store: ReviewStore, guideline: str, stratum: str, pool: Iterable[NewItem], *, seed: int, actor: str, name: str = ""
) -> AddedSample:
    """Draw a sample and add it to the queue; all or nothing.

    Args:
        store: the store.
        guideline: its name in the store.
        stratum: of its plan.
        pool: what to draw from; see `draw_sample`.
        seed: of the random numbers.
        actor: who draws.
        name: tells several samples of a stratum apart, such as the month.

    Raises:
        NotFoundError: there is no such guideline.
        UserError: the guideline has no such stratum, the pool is too small, or there is another sample of that name.
    """
    check_text("name", name, MAX_NAME_CHARS)
    if not 0 <= seed <= MAX_SEED:
        raise UserError(f"seed={seed} is out of range: use a whole number from 0 to {MAX_SEED}")
    current = store.guideline(guideline)
    plan = find_stratum(current, stratum)
    draw = draw_sample(pool, current, plan, seed)
    with store.writing() as (connection, now):
        current = GuidelineVersions(connection).current([guideline])[guideline]
        key = {"guideline": guideline, "stratum": stratum, "name": name}
        before = connection.execute(sa.select(samples).filter_by(**key)).mappings().first()
        added = add_items(connection, draw.items, actor, {guideline: current}, now) if before is None else None
        groups = {check_content(item, current).id: str((item.origin or {}).get("group", "")) for item in draw.items}
        digest = sha256("".join(f"{item} {group}\n" for item, group in sorted(groups.items())).encode()).hexdigest()
        if before is not None:
            if before["items_sha256"] != digest:
                called = f" '{name}'" if name else ""
                raise UserError(
                    f"sampling '{stratum}' has a sample{called} of {before['size']:,} items already, drawn from another "
                    "pool or with another seed: give the new one a name of its own"
                )
            return AddedSample(len(groups), 0, draw.pool, is_repeated=True)
        assert added is not None
        row = {
            **key,
            "version": current.version,
            "seed": seed,
            "pool": sum(draw.pool.values()),
            "size": len(groups),
            "groups": json.dumps(dict(draw.pool), ensure_ascii=False),
            "items_sha256": digest,
            "created": now,
            "created_by": actor,
        }
        connection.execute(samples.insert().values(row))
        rows = [{**key, "item": item, "group_name": group} for item, group in groups.items()]
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            connection.execute(sample_items.insert(), rows[start : start + ROWS_PER_STATEMENT])
        append(connection, "sample_drawn", actor, "", {"samples": row, "sample_items": rows}, now)
    return AddedSample(len(groups), added.new, draw.pool, is_repeated=False)


def evaluate_plan(store: ReviewStore, guideline: str) -> list[StratumResult]:
    """The results of each sample of a guideline, in the order of its plan; none if nothing was drawn.

    Items with an undecided label that the plan does not count, such as *unsure*, count against the bar.

    Raises:
        NotFoundError: there is no such guideline.
    """
    current = store.guideline(guideline)
    strata = {stratum.name: stratum for stratum in current.sampling}
    with store.reading() as (connection, _):
        rows = connection.execute(
            sa.select(samples).where(samples.c.guideline == guideline).order_by(samples.c.created, samples.c.name)
        )
        drawn = [row._asdict() for row in rows if row.stratum in strata]
        labels = {(row["stratum"], row["name"]): list(_labels(connection, row)) for row in drawn}
    drawn.sort(key=lambda row: list(strata).index(row["stratum"]))
    return [_evaluate(current, strata[row["stratum"]], row, labels[row["stratum"], row["name"]]) for row in drawn]


def describe_plan(store: ReviewStore, guideline: str) -> list[str]:
    """A line for each sample of a guideline, and one for each stratum of its plan that nothing was drawn for; none if
    nothing was drawn at all.

    Raises:
        NotFoundError: there is no such guideline.
    """
    results = evaluate_plan(store, guideline)
    if not results:
        return []
    missing = [s.name for s in store.guideline(guideline).sampling if s.name not in {r.stratum.name for r in results}]
    return [*map(_describe, results), *(f"{name}: nothing was drawn" for name in missing)]


def _labels(connection: sa.Connection, sample: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Group and final label of each item of a sample."""
    c = sample_items.c
    query = sa.select(c.group_name, items.c.label).join(items, items.c.id == c.item)
    keys = ("guideline", "stratum", "name")
    for row in connection.execute(query.where(*(c[key] == sample[key] for key in keys))):
        yield row.group_name, row.label


def _evaluate(
    guideline: Guideline, stratum: Stratum, sample: Mapping[str, Any], labels: list[tuple[str, str | None]]
) -> StratumResult:
    undecided = {label.name for label in guideline.labels if label.outcome == "undecided"} - set(stratum.labels)
    groups: dict[str, list[str | None]] = {}
    for group, label in labels:
        groups.setdefault(group, []).append(label)
    settled = [label for _, label in labels if label is not None]
    counted = sum(label in stratum.labels for label in settled)
    unsure = sum(label in undecided for label in settled)
    worst = counted if stratum.at_most is None else counted + unsure
    share = proportion(worst, len(settled))
    return StratumResult(
        stratum=stratum,
        name=sample["name"],
        pool=sample["pool"],
        drawn=len(labels),
        settled=len(settled),
        counted=counted,
        unsure=unsure,
        share=share,
        state="undecided" if share.low is None or share.high is None else _compare(stratum, share.low, share.high),
        sample_state=_compare(
            stratum, worst / max(len(labels), 1), (worst + len(labels) - len(settled)) / max(len(labels), 1)
        ),
        groups=tuple(
            GroupResult(
                group,
                len(names),
                sum(name is not None for name in names),
                sum(name in stratum.labels for name in names),
            )
            for group, names in sorted(groups.items())
        ),
    )


def _compare(stratum: Stratum, low: float, high: float) -> State:
    """Whether a share between two ends reaches the bar."""
    if stratum.at_least is not None:
        if low >= stratum.at_least - _ROUNDING:
            return "met"
        return "not_met" if high < stratum.at_least - _ROUNDING else "undecided"
    assert stratum.at_most is not None
    if high <= stratum.at_most + _ROUNDING:
        return "met"
    return "not_met" if low > stratum.at_most + _ROUNDING else "undecided"


def _describe(result: StratumResult) -> str:
    stratum, share = result.stratum, result.share
    name = f"{stratum.name} ({result.name})" if result.name else stratum.name
    start = f"{name}: {result.settled:,} of {result.drawn:,} settled"
    if not result.settled:
        return start
    bar = f"at least {stratum.at_least:.1%}" if stratum.at_least is not None else f"at most {stratum.at_most:.1%}"
    interval = f" ({share.low:.1%} to {share.high:.1%})" if share.low is not None else ""
    unsure = f", {result.unsure:,} of them unsure" if result.unsure else ""
    sample = {"met": "reaches it", "not_met": "misses it", "undecided": "is not complete"}[result.sample_state]
    pool = {"met": "reaches it", "not_met": "misses it", "undecided": "may or may not"}[result.state]
    labels = " or ".join(stratum.labels)
    return f"{start}{unsure}; {labels} {share.value:.1%}{interval}, bar {bar}: the sample {sample}, the pool {pool}"
