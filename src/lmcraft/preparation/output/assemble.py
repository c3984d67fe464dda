"""The steps "plan" and "assemble": from the tokens of all units to the shards of each part.

The documents of a part are shuffled, since the order of a crawl is no order to train in. The plan lists where the
documents of each shard are; units that assemble one shard each read them from there.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.shards import (
    EncodedTable,
    check_splits,
    count_tail_bytes,
    end_documents,
    save_shard,
    shard_ranges,
    summarize,
    token_dtype,
)
from lmcraft.data.shuffle import permute_all
from lmcraft.data.splits import TRAIN, VALIDATION, Int64, assign, parts_of
from lmcraft.errors import UserError
from lmcraft.preparation.contracts import JsonObject, Position, Tally, Unit, UnitResult
from lmcraft.preparation.output.encode import DOCUMENT, EncodedPart, list_parts
from lmcraft.preparation.output.parts import Part
from lmcraft.preparation.output.tokenizer_sample import open_tokenizer
from lmcraft.tokenizer import Tokenizer

PLAN, ASSEMBLE = "plan", "assemble"  # steps
SHARD_TOKENS = 32_000_000  # a worker holds one shard in memory
PIECE = np.dtype([("unit", "<u4"), ("number", "<u4"), ("first", "<i8"), ("length", "<i8")])
"""Where the tokens of a document are: unit, number of the part in it, first token and number of tokens."""


def plan_unit(validation: float, encoded: Sequence[UnitResult], tokenizer: UnitResult) -> Unit:
    """The unit that decides what each shard holds.

    Args:
        validation: share of each part held out for validation.
        encoded: results of the step "encode".
        tokenizer: result of the step "tokenizer".
    """
    keys = [result.unit.key for result in encoded]
    arguments = {
        "encoded": keys,
        "tokenizer": tokenizer.unit.key,
        "validation": validation,
        "shard_tokens": SHARD_TOKENS,
    }
    inputs = (*keys, tokenizer.unit.key)
    return Unit(step=PLAN, number=0, function=f"{__name__}:plan", arguments=arguments, inputs=inputs, version=2)


def plan(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Divide each part between training and validation, shuffle it, and divide it into shards."""
    tokenizer = open_tokenizer(inputs[arguments["tokenizer"]])
    units: dict[Part, dict[int, EncodedPart]] = {}
    for unit, key in enumerate(arguments["encoded"]):
        for part, encoded in list_parts(inputs[key]).items():
            units.setdefault(part, {})[unit] = encoded
    entries = []
    for index, part in enumerate(sorted(units)):
        planner = _PartPlanner(units[part], tokenizer, arguments["validation"])
        entry: JsonObject = part.as_manifest()
        for split in (TRAIN, VALIDATION):
            order, counts = planner.order(split, _order_key(part, split))
            np.save(_order_file(out, index, split), order)
            entry[split] = {**counts, "ranges": list(shard_ranges(order["length"], arguments["shard_tokens"]))}
        entries.append(entry)
    dtype = token_dtype(tokenizer.vocab_size).name
    return Tally(), {"parts": entries, "dtype": dtype, "eos_token_id": tokenizer.eos_token_id}


def _order_file(folder: Path, part: int, split: str) -> Path:
    return folder / f"{split}-{part:03}.order.npy"


def _order_key(part: Part, split: str) -> int:
    digest = hashlib.blake2b(f"lmcraft order {part.name} {split}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)


class _PartPlanner:
    """Decides about the documents of a part, of all units: N documents."""

    def __init__(self, units: Mapping[int, EncodedPart], tokenizer: Tokenizer, validation: float) -> None:
        self._units = units
        self._dtype = token_dtype(tokenizer.vocab_size)
        self._end = tokenizer.eos_token_id
        rows = [part.documents for part in units.values()]
        columns = {name: np.concatenate([table[name] for table in rows]) for name in DOCUMENT.names or ()}
        self._table = EncodedTable(**columns)
        sizes = [len(table) for table in rows]
        self._pieces = np.zeros(sum(sizes), PIECE)
        self._pieces["unit"] = np.repeat(list(units), sizes)
        self._pieces["number"] = np.repeat([part.number for part in units.values()], sizes)
        self._pieces["first"] = np.concatenate([np.cumsum(table["tokens"]) - table["tokens"] for table in rows])
        self._training = _choose_training(self._table, validation)
        self._tail = count_tail_bytes(self._table, self._training, self._read_tail, tokenizer)

    def order(self, split: str, key: int) -> tuple[NDArray[Any], dict[str, int]]:
        """Where the documents of a split are, in the order of its shards, (M,) of `PIECE`; and the counts of the split."""
        firsts, lengths = parts_of(self._table, self._training, split, self._end)
        documents = np.flatnonzero(lengths)
        pieces = self._pieces[documents]
        pieces["length"] = lengths[documents]
        pieces["first"] += firsts[documents]
        order = np.empty_like(pieces)
        order[permute_all(len(pieces), key)] = pieces
        return order, summarize(self._table, lengths[documents], self._tail, split)

    def _read_tail(self, document: int) -> list[int]:
        piece, kept = self._pieces[document], int(self._training[document])
        tokens = np.empty(int(self._table.tokens[document]) - kept, self._dtype)
        with self._units[int(piece["unit"])].open_tokens() as file:
            _read_into(tokens, file, int(piece["first"]) + kept)
        ids: list[int] = tokens.tolist()
        return ids


def _choose_training(table: EncodedTable, validation: float) -> Int64:
    """The tokens of each document for training, (N,): all of them in a part that is too small to hold any out."""
    try:
        return assign(table, validation, "hash", prefer_whole=True)
    except UserError:
        return table.tokens


def assemble_units(plan: UnitResult, encoded: Sequence[UnitResult], validation: float) -> list[Unit]:
    """A unit for each shard.

    Raises:
        UserError: the text is too short for both splits.
    """
    parts = plan.values["parts"]
    totals = {split: {"tokens": sum(part[split]["tokens"] for part in parts)} for split in (TRAIN, VALIDATION)}
    check_splits(totals, validation)
    keys = [result.unit.key for result in encoded]
    common = {"plan": plan.unit.key, "encoded": keys, "dtype": plan.values["dtype"], "end": plan.values["eos_token_id"]}
    shards = [
        {"part": index, "split": split, "shard": shard, "documents": documents}
        for index, part in enumerate(parts)
        for split in (TRAIN, VALIDATION)
        for shard, documents in enumerate(part[split]["ranges"])
    ]
    return [
        Unit(
            step=ASSEMBLE,
            number=number,
            function=f"{__name__}:assemble",
            arguments={**shard, **common},
            inputs=(plan.unit.key, *keys),
            size=shard["documents"][1] - shard["documents"][0],
        )
        for number, shard in enumerate(shards)
    ]


def assemble(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Write a shard, and where its documents begin."""
    part, split = arguments["part"], arguments["split"]
    first, last = arguments["documents"]
    pieces = np.load(_order_file(inputs[arguments["plan"]], part, split), mmap_mode="r")[first:last]
    folders = [inputs[key] for key in arguments["encoded"]]
    tokens = _gather(pieces, folders, np.dtype(arguments["dtype"]))
    end_documents(tokens, pieces["length"], arguments["end"])
    file = out / f"{split}-{part:03}-{arguments['shard']:05}.npy"
    return Tally(), {"part": part, "split": split, "shard": save_shard(file, tokens, pieces["length"])}


def _gather(pieces: NDArray[Any], folders: Sequence[Path], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The tokens of some pieces, one after the other, read file by file: pages of mapped files would count as memory."""
    ends = np.cumsum(pieces["length"])
    tokens = np.empty(int(ends[-1]), dtype)
    by_place = np.lexsort((pieces["first"], pieces["unit"]))
    for group in np.split(by_place, np.flatnonzero(np.diff(pieces["unit"][by_place])) + 1):
        unit, number = pieces[group[0]].tolist()[:2]
        with EncodedPart(folders[unit], number).open_tokens() as file:
            rows = zip(pieces["first"][group].tolist(), pieces["length"][group].tolist(), ends[group].tolist(), strict=True)
            for first, length, end in rows:
                _read_into(tokens[end - length : end], file, first)
    return tokens


def _read_into(tokens: NDArray[Any], file: BinaryIO, first: int) -> None:
    """Fill an array with the tokens from `first` on in a file."""
    file.seek(first * tokens.itemsize)
    view = memoryview(tokens).cast("B")  # type: ignore[arg-type]
    while view:
        if not (count := file.readinto(view)):  # type: ignore[attr-defined]
            raise EOFError(f"'{file.name}' ends before its tokens do")
        view = view[count:]
