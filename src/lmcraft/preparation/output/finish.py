"""Puts the shards and the tokenizer into the dataset folder, and describes them for the manifest."""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lmcraft.data.marks import BAD, GOOD
from lmcraft.data.splits import TRAIN, VALIDATION
from lmcraft.folder import sha256_of
from lmcraft.preparation.contracts import JsonObject, Unit, UnitResult
from lmcraft.preparation.output.assemble import ASSEMBLE, PLAN
from lmcraft.preparation.output.encode import ENCODE
from lmcraft.preparation.output.marks import COUNTS as COUNTS_OF_MARKS
from lmcraft.preparation.output.tokenizer_sample import TOKENIZER
from lmcraft.tokenizer import Tokenizer

COUNTS = ("documents", "tokens", "bytes", "lost_bytes")
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)


def finish(folder: Path, results: Mapping[str, Sequence[UnitResult]], locate: Callable[[Unit], Path]) -> JsonObject:
    """Link the shards and the tokenizer into a dataset folder; returns their entries in the manifest.

    Args:
        folder: the dataset folder; on another disk than the work, the files are copied.
        results: of the steps of `output_steps`.
        locate: the output folder of a unit.
    """
    tokenizer, plan = results[TOKENIZER][0], results[PLAN][0]
    for result in (tokenizer, *results[ASSEMBLE]):
        for name in sorted(result.outputs):
            _link(locate(result.unit) / name, folder / name)
    parts = [_part_entry(part, index, results[ASSEMBLE]) for index, part in enumerate(plan.values["parts"])]
    totals = {name: _add_up([part[name] for part in parts if name in part]) for name in (TRAIN, VALIDATION)}
    spellings: Counter[str] = Counter()
    for result in results[ENCODE]:
        spellings.update(result.values["special_spellings"])
    return {
        "vocab_size": tokenizer.values["vocab_size"],
        "dtype": plan.values["dtype"],
        "eos_token_id": tokenizer.values["eos_token_id"],
        "tokenizer_sha256": sha256_of(folder / "tokenizer.json"),
        "splits": {name: entry for name, entry in totals.items() if entry["tokens"]},
        "parts": parts,
        **_describe_marks(folder, results[ENCODE]),
        "special_spellings": dict(sorted(spellings.items(), key=lambda pair: (-pair[1], pair[0]))),
    }


def _describe_marks(folder: Path, encoded: Sequence[UnitResult]) -> JsonObject:
    """The ids of the marks in the text, and how many passages have them; nothing if there are none."""
    counts = {name: sum(result.values.get(name, 0) for result in encoded) for name in COUNTS_OF_MARKS}
    if not any(counts.values()):
        return {}
    tokenizer = Tokenizer.load(folder)
    return {"marks": {"good": tokenizer.id_of(GOOD), "bad": tokenizer.id_of(BAD), **counts}}


def _part_entry(part: JsonObject, index: int, assembled: Sequence[UnitResult]) -> JsonObject:
    """A part in the manifest; a split without tokens is left out."""
    entry = {name: value for name, value in part.items() if name not in (TRAIN, VALIDATION)}
    for split in (TRAIN, VALIDATION):
        if part[split]["tokens"]:
            own = [result.values for result in assembled if result.values["part"] == index]
            shards = [values["shard"] for values in own if values["split"] == split]
            entry[split] = {**{name: part[split][name] for name in COUNTS}, "shards": shards}
    return entry


def _add_up(splits: Sequence[JsonObject]) -> JsonObject:
    """A split of the whole dataset, whose shards are those of its parts in order."""
    counts = {name: sum(split[name] for split in splits) for name in COUNTS}
    return {**counts, "shards": [shard for split in splits for shard in split["shards"]]}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(source, target)
