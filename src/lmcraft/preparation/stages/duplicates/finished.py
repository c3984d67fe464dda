"""The documents of finished datasets, which new ones are compared with: their texts are decoded from their tokens.

The id of such a document has -1 - (the dataset's place in `against`) as its source, its split as its file (0: training, 1:
validation) and its number in the split as its position. Such documents take precedence, and no output has them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lmcraft.data.splits import TRAIN, VALIDATION
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from lmcraft.preparation.contracts import DocumentId, JsonObject, Record, Step, Tally, Unit
from lmcraft.preparation.stages.duplicates.corpus import MAX_PRIORITY
from lmcraft.tokenizer.tokenizer import Tokenizer

UNIT_DOCUMENTS = 2**15
AGAINST_WEIGHT = 0.2  # as `Step.weight`
SPLITS = (TRAIN, VALIDATION)


@dataclass(frozen=True)
class DocumentRange:
    """Some documents of one shard of a dataset; small enough for the arguments of a unit."""

    dataset: int  # in `against`
    path: str
    manifest_sha256: str
    split: int  # in SPLITS
    file: str
    tokens: int  # of the shard
    first: int  # document of the shard
    last: int  # + 1
    number: int  # of the first document in its split
    source: str
    language: str


def check_datasets(against: Sequence[str]) -> None:
    """Raise a UserError unless all are folders of tokens."""
    for path in against:
        DatasetFolder(Path(path)).token_manifest()


def describe_datasets(against: Sequence[str]) -> list[str]:
    """The hash of each dataset's manifest, which has the hashes of its shards."""
    return [_hash_manifest(Path(path)) for path in against]


def against_step(stage: Any, against: Sequence[str], function: str) -> tuple[Step, ...]:
    """The step "against/NAME", whose units write what `stage.sketch` writes, of the documents of finished datasets.

    Args:
        stage: a `GlobalStage` with the field `against`.
        against: the datasets' folders.
        function: a `RunUnit` that calls `sketch_documents`.
    """
    if not against:
        return ()
    settings = {name: value for name, value in asdict(stage).items() if name != "against"}

    def units(results: Any) -> list[Unit]:
        ranges = [part for number, path in enumerate(against) for part in _ranges(number, Path(path))]
        fingerprint = {**stage.fingerprint(), "against": None}
        return [
            Unit(
                f"against/{stage.name}",
                number,
                function,
                {"name": stage.name, "settings": settings, "fingerprint": fingerprint, "documents": asdict(part)},
                version=stage.version,
            )
            for number, part in enumerate(ranges)
        ]

    return (Step(f"against/{stage.name}", units, reads=(), weight=AGAINST_WEIGHT),)


def sketch_documents(stage: Any, arguments: JsonObject, out: Path) -> tuple[Tally, JsonObject]:
    """Write a stage's sketch of a range of documents."""
    records = stage.sketch(_read(DocumentRange(**arguments["documents"])), out / f"sketch-{arguments['name']}")
    return Tally(), {"documents": sum(1 for _ in records)}


def _hash_manifest(path: Path) -> str:
    return hashlib.sha256(DatasetFolder(path).manifest_file.read_bytes()).hexdigest()


def _ranges(number: int, path: Path) -> Iterator[DocumentRange]:
    """The documents of a dataset, a range for each unit."""
    manifest, digest = DatasetFolder(path).token_manifest(), _hash_manifest(path)
    parts = {
        shard["file"]: (part["source"], part["language"])
        for part in manifest.get("parts", ())
        for split in SPLITS
        for shard in part.get(split, {}).get("shards", ())
    }
    for split, name in enumerate(SPLITS):
        before = 0
        for shard in manifest["splits"].get(name, {}).get("shards", ()):
            documents = len(_starts(path / shard["file"]))
            for first in range(0, documents, UNIT_DOCUMENTS):
                last = min(first + UNIT_DOCUMENTS, documents)
                source, language = parts.get(shard["file"], ("", ""))
                yield DocumentRange(
                    number, str(path.resolve()), digest, split, shard["file"], shard["tokens"], first, last,
                    before + first, source, language,
                )  # fmt: skip
            before += documents


def _read(part: DocumentRange) -> Iterator[Record]:
    shard = Path(part.path) / part.file
    tokens, tokenizer = np.load(shard, mmap_mode="r"), Tokenizer.load(Path(part.path))
    borders = [*_starts(shard)[part.first : part.last + 1].tolist(), part.tokens][: part.last - part.first + 1]
    for offset, (start, stop) in enumerate(pairwise(borders)):
        number = DocumentId(-1 - part.dataset, part.split, part.number + offset)
        notes = {"source": part.source, "priority": MAX_PRIORITY + 1}
        yield Record(number, tokenizer.decode(tokens[start:stop]), part.path, 0, part.language, notes=notes)


def _starts(shard: Path) -> Any:
    try:
        return np.load(shard.with_suffix(".documents.npy"), mmap_mode="r")
    except (OSError, ValueError) as error:
        raise UserError(f"'{shard.with_suffix('.documents.npy')}' cannot be read: prepare that dataset again") from error
