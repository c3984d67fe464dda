"""The stage `balance`: samples documents, so that an attribute has a target mix.

The pass that sketches writes the group and the size of each document. One unit counts all of them and computes which share
of each group stays; the verdicts follow from a hash of each document's id, so that they depend on neither order nor workers.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from lmcraft.errors import UserError
from lmcraft.folder import read_json, write_json, write_json_lines
from lmcraft.json_lines import read_json_lines
from lmcraft.preparation.contracts import DocumentId, JsonObject, Position, Record, Step, Tally, Unit, UnitResult, Verdict
from lmcraft.preparation.stages.attributes import NO_GROUP, groups_of
from lmcraft.preparation.stages.verdict_units import verdict_units

GROUPS, SHARES, VERDICTS = "groups.jsonl", "shares.json", "verdicts.jsonl"
STEP_WEIGHT = 0.01  # as `Step.weight`

Results = Mapping[str, Sequence[UnitResult]]


@dataclass(frozen=True)
class Balance:
    """Removes as few documents as the target mix of an attribute allows."""

    attribute: str = ""
    """Attribute to balance: `language`, `source`, or one that a stage `attributes` has noted, such as `toxicity`."""
    target: dict[str, float] = field(default_factory=dict)
    """Share of each group. Groups without one share the rest in proportion to what there is of them."""
    unit: Literal["bytes", "documents"] = "bytes"
    """What the shares count."""

    name: ClassVar[str] = "balance"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ("balance",)

    def __post_init__(self) -> None:
        if not self.attribute:
            raise UserError('attribute is empty: name one, such as "language" or "toxicity"')
        if not self.target:
            raise UserError("target is empty: write the share of each group, such as { toxic = 0.01 }")
        for group, share in self.target.items():
            if not 0 <= share <= 1:
                raise UserError(f"target.{group}={share:g} is not a share: use a number from 0 to 1")
        if (total := sum(self.target.values())) > 1 + 1e-9:
            raise UserError(f"the shares of target add up to {total:g}: lower them to 1 or less")

    def fingerprint(self) -> JsonObject:
        """The settings."""
        return {"attribute": self.attribute, "target": self.target, "unit": self.unit}

    def sketch(self, records: Iterable[Record], folder: Path) -> Iterator[Record]:
        """Pass the records on; write the group and the size of each."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for record in records:
            size = len(record.text.encode("utf-8", "surrogatepass")) if self.unit == "bytes" else 1
            rows.append({"id": list(record.id), "group": self._group(record), "size": size})
            yield record
        write_json_lines(folder / GROUPS, rows)

    def steps(self) -> Sequence[Step]:
        """The share of each group that stays, then the verdicts of each unit."""
        sketches, shares = f"sketch/{self.name}", f"shares/{self.name}"
        return [
            Step(shares, self._share_units, (sketches,), STEP_WEIGHT),
            Step(f"verdicts/{self.name}", self._verdict_units, (sketches, shares), STEP_WEIGHT),
        ]

    def verdicts(self, folder: Path) -> Mapping[DocumentId, Verdict]:
        """The documents that go."""
        rows = read_json_lines(folder / VERDICTS)
        return {DocumentId(*row["id"]): Verdict(self.reasons[0], evidence=row["group"]) for row in rows}

    def _group(self, record: Record) -> str:
        if self.attribute == "language":
            return record.language or NO_GROUP
        if self.attribute == "source":
            return str(record.notes["source"])
        groups = groups_of(record, self.attribute)
        if not groups:
            raise UserError(
                f"no stage has noted the attribute '{self.attribute}': put a stage of kind 'attributes' before '{self.name}'"
            )
        return groups[0]

    def _share_units(self, results: Results) -> list[Unit]:
        inputs = tuple(result.unit.key for result in results[f"sketch/{self.name}"])
        arguments = {"name": self.name, **self.fingerprint()}
        return [Unit(f"shares/{self.name}", 0, f"{__name__}:compute_shares", arguments, inputs, version=self.version)]

    def _verdict_units(self, results: Results) -> list[Unit]:
        return verdict_units(self.name, self.version, results, f"shares/{self.name}", f"{__name__}:draw_documents")


def kept_shares(sizes: Mapping[str, int], target: Mapping[str, float]) -> dict[str, float]:
    """Which share of each group stays, so that the mix is the target and as much as possible stays.

    Args:
        sizes: bytes or documents of each group.
        target: the share of some groups; the others share the rest in proportion to their sizes.

    Raises:
        UserError: a group that should have a share does not occur, or nothing would be left.
    """
    if missing := [group for group, share in target.items() if share and not sizes.get(group)]:
        groups = ", ".join(sorted(sizes)) or "none"
        raise UserError(f"target.{missing[0]}: no document has this group; there are {groups}")
    free = {group: size for group, size in sizes.items() if group not in target}
    rest = max(0.0, 1 - sum(target.values()))
    shares = {group: target[group] for group in sizes if group in target}
    shares |= {group: rest * size / sum(free.values()) for group, size in free.items()}
    # the largest total of which each group can fill its share; if the shares add up to less than 1, they are scaled
    total = min((sizes[group] / share for group, share in shares.items() if share > 1e-12), default=0)
    if not total:
        raise UserError("target leaves no document: give a group that occurs a share above 0")
    return {group: min(1.0, total * share / sizes[group]) if sizes[group] else 0.0 for group, share in shares.items()}


def compute_shares(
    arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
) -> tuple[Tally, JsonObject]:
    """The unit that counts all documents by group."""
    sizes: dict[str, int] = {}
    for folder in inputs.values():
        for row in _read_groups(folder, arguments["name"]):
            sizes[row["group"]] = sizes.get(row["group"], 0) + row["size"]
    try:
        shares = kept_shares(dict(sorted(sizes.items())), arguments["target"])
    except UserError as error:
        raise UserError(f"stage '{arguments['name']}': {error}") from error
    write_json(out / SHARES, shares)
    return Tally(), {"sizes": dict(sorted(sizes.items())), "shares": shares}


def draw_documents(
    arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
) -> tuple[Tally, JsonObject]:
    """The unit that draws the documents of one unit of records."""
    sketched, computed = inputs.values()
    shares = read_json(computed / SHARES)
    rows = [
        {"id": row["id"], "group": row["group"]}
        for row in _read_groups(sketched, arguments["name"])
        if _uniform(arguments["name"], row["id"]) >= shares[row["group"]]
    ]
    write_json_lines(out / VERDICTS, rows)
    return Tally(), {}


def _uniform(name: str, document: Sequence[int]) -> float:
    """A number from 0 to 1 that looks random, from a document's id and the name of the stage."""
    digest = hashlib.blake2b(json.dumps([name, *document]).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _read_groups(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    return read_json_lines(folder / f"sketch-{name}" / GROUPS)
