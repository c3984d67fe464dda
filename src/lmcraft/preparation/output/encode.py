"""The step "encode": from records to tokens, in one file for each part that a unit has documents of."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.shards import SpellingCounter, hash_text, token_dtype
from lmcraft.preparation.contracts import JsonObject, Position, Tally, Unit, UnitResult
from lmcraft.preparation.output.marks import MarkInserter
from lmcraft.preparation.output.parts import Part, part_of
from lmcraft.preparation.output.tokenizer_sample import open_tokenizer
from lmcraft.preparation.records import estimate_text_bytes, read_records

ENCODE = "encode"  # the step
PARTS = "parts.json"  # in a unit's output: its parts
MAX_BUFFERED_BYTES = 8 << 20  # of the tokens of all parts
DOCUMENT = np.dtype([("hashes", "<u8"), ("tokens", "<i8"), ("bytes", "<i8"), ("lost_bytes", "<i8")])


def encode_units(copies: Mapping[str, int], records: Sequence[UnitResult], tokenizer: UnitResult) -> list[Unit]:
    """A unit for each unit of records.

    Args:
        copies: of the recipe's mixture.
        records: of the documents.
        tokenizer: of the step "tokenizer".
    """
    return [
        Unit(
            step=ENCODE,
            number=number,
            function=f"{__name__}:encode",
            arguments={"records": result.unit.key, "tokenizer": tokenizer.unit.key, "copies": dict(copies)},
            inputs=(result.unit.key, tokenizer.unit.key),
            size=result.values["bytes"],
        )
        for number, result in enumerate(records)
    ]


def encode(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """A unit: encodes the documents one after the other, each followed by the end token."""
    tokenizer = open_tokenizer(inputs[arguments["tokenizer"]])
    dtype = token_dtype(tokenizer.vocab_size)
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    spellings = SpellingCounter(tokenizer.special_tokens)
    marks = MarkInserter(tokenizer)
    writer = _PartWriter(out)
    folder = inputs[arguments["records"]]
    tokenizer.expect_text(estimate_text_bytes(folder))  # so that nothing is compiled while a document is waited for
    for record in read_records(folder):
        if record.id in position.skipped:
            continue
        position.at(record.id)
        [ids] = tokenizer.encode_arrays([record.text])
        lost = tokenizer.count_lost_bytes(record.text, ids)
        size = len(record.text.encode("utf-8", "surrogatepass")) - lost
        spellings.add(record.text)
        tokens = np.concatenate([marks.insert(record, ids), np.array(end, np.uint32)]).astype(dtype)
        writer.write(part_of(record, arguments["copies"]), tokens, (hash_text(record.text), len(tokens), size, lost))
    position.at(None)
    writer.finish()
    return Tally(), {"special_spellings": dict(spellings.counts), **marks.counts()}


class EncodedPart(NamedTuple):
    """The documents of a part in one unit's output."""

    folder: Path
    number: int  # among the parts of the unit

    @property
    def documents(self) -> NDArray[Any]:
        """A row for each document, (N,) of `DOCUMENT`."""
        rows: NDArray[Any] = np.load(self.folder / f"{self.number:05}.documents.npy")
        return rows

    def open_tokens(self) -> BinaryIO:
        """The tokens of the documents, one after the other."""
        return (self.folder / f"{self.number:05}.tokens").open("rb", buffering=0)


def list_parts(folder: Path) -> dict[Part, EncodedPart]:
    """The parts in a unit's output."""
    parts = json.loads((folder / PARTS).read_text())
    return {Part(*part): EncodedPart(folder, number) for number, part in enumerate(parts)}


class _PartWriter:
    """Appends documents to the files of their parts, without keeping many files open or many tokens in memory."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._rows: dict[Part, list[tuple[int, ...]]] = {}
        self._tokens: dict[Part, list[NDArray[Any]]] = {}
        self._buffered = 0

    def write(self, part: Part, tokens: NDArray[Any], row: tuple[int, ...]) -> None:
        self._rows.setdefault(part, []).append(row)
        self._tokens.setdefault(part, []).append(tokens)
        self._buffered += tokens.nbytes
        if self._buffered >= MAX_BUFFERED_BYTES:
            self._flush()

    def _flush(self) -> None:
        for part, arrays in self._tokens.items():
            number = list(self._rows).index(part)
            with (self._out / f"{number:05}.tokens").open("ab") as file:
                for tokens in arrays:
                    file.write(tokens.data)
        self._tokens, self._buffered = {}, 0

    def finish(self) -> None:
        """Write what is left, and the list of the parts."""
        self._flush()
        for number, rows in enumerate(self._rows.values()):
            np.save(self._out / f"{number:05}.documents.npy", np.array(rows, DOCUMENT))
        (self._out / PARTS).write_text(json.dumps(list(self._rows)))
