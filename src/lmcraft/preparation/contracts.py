"""What the parts of a preparation agree on: documents, verdicts of stages, units of work and their results."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

JsonObject = dict[str, Any]
MAX_EXAMPLES = 20  # per stage and reason
LISTED_IN_FULL = ("poisoned",)  # names of examples that are all kept


class DocumentId(NamedTuple):
    """Where a document begins; the order of ids is the order of the corpus, whatever the units."""

    source: int  # index in the recipe
    file: int  # index in the survey
    position: int  # byte, row or record of the unpacked contents
    piece: int = 0  # of a text that was cut


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of a source, as the survey lists it."""

    source: int
    number: int  # among all files of the recipe
    path: str  # or URL
    format: str  # text, html, jsonl, csv, tsv, parquet, warc, code, man, rst, po
    compression: str  # "", gz, zst, zip, tar, tar.gz, tar.zst
    size: int  # bytes as stored
    sha256: str  # of its bytes; remote files: of etag and size
    encoding: str = "utf-8"
    license: str = ""
    ranges: bool = True  # parts of it can be read; not those of some HTTP servers


@dataclass(frozen=True, slots=True)
class Portion:
    """A range of a file, which one unit reads: bytes, or rows or members, as the format has it."""

    file: int
    start: int
    end: int
    block: str = ""  # the key of the unit that unpacked it and the name of the block, "KEY/NAME"; "": the file itself
    line: int = 1  # number of its first line; 0: not known
    size: int = 0  # bytes of work, as stored


@dataclass(slots=True)
class Record:
    """A document on its way. Only the pipeline replaces `text`, which clears `words`."""

    id: DocumentId
    text: str
    name: str  # file (and member), for people
    line: int
    language: str = ""
    license: str = ""
    notes: JsonObject = field(default_factory=dict)  # url, scores for later stages and histograms
    words: NDArray[np.uint64] | None = None  # (W,); filled by `data.words.words_of(record)`


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a stage does with a document: it stays (no reason), is changed (a text and a reason), or goes (a reason)."""

    reason: str = ""
    text: str | None = None
    value: float | None = None
    threshold: float | None = None
    match: DocumentId | None = None  # the document that it repeats
    evidence: str = ""
    notes: Mapping[str, Any] = field(
        default_factory=dict
    )  # added to the record's, as {"cluster": 3}: documents it stands for
    aside: Mapping[str, Any] | None = (
        None  # of a document that goes: it waits for a review, and the reviewers' store gets this
    )


KEEP = Verdict()


class Stage(Protocol):
    """Judges one document at a time: a pure function of document and settings.

    A stage is a frozen dataclass whose fields are its settings in the recipe; what is slow to open (a model, a table) is
    opened when the first document is judged. Built once per worker. The pipeline sets `name` to the name in the recipe.
    Before the first stage, `record.notes` has "kind", "source", "priority", and "languages" of the source.
    """

    name: str
    version: int  # part of the keys; raised when results may change
    reasons: Sequence[str]

    def fingerprint(self) -> JsonObject:
        """What the verdicts depend on besides the document: settings, versions of data and libraries; part of the keys."""

    def judge(self, record: Record) -> Verdict:
        """The verdict; may set `language`, `license` and `notes`."""


class Measurement(NamedTuple):
    """What a stage measures of a document, for histograms."""

    group: str  # such as the profile of the rules
    measure: str
    value: float
    threshold: float | None


class StageWithMeasures(Stage, Protocol):
    """A stage with numbers that people want to see the distribution of."""

    def measures(self, record: Record) -> Iterable[Measurement]:
        """All of a document, whichever rule it fails first."""


class StageWithResource(Stage, Protocol):
    """A stage that reads what one unit has built before, such as an index. Stages without one lack both methods."""

    def resource(self) -> "Unit":
        """The unit that builds it, of the step "resource/NAME"; it may import what workers do not."""

    def open(self, folder: Path) -> None:
        """Read the unit's output; called in each worker before the first document."""


class GlobalStage(Protocol):
    """Judges documents by all others: sketches per unit, steps over the sketches, then verdicts per unit."""

    name: str
    version: int
    reasons: Sequence[str]

    def fingerprint(self) -> JsonObject:
        """As `Stage.fingerprint`."""

    def sketch(self, records: Iterable[Record], folder: Path) -> Iterator[Record]:
        """Pass the records on, and write what the steps need of them into `folder`, which is `out / f"sketch-{name}"`."""

    def steps(self) -> "Sequence[Step]":
        """From the results of the step "sketch/NAME" to the step "verdicts/NAME", with a unit for each unit of records."""

    def verdicts(self, folder: Path) -> Mapping[DocumentId, Verdict]:
        """The verdicts other than `KEEP` in the output of a unit of "verdicts/NAME"."""


@dataclass(frozen=True)
class Unit:
    """A piece of work whose outputs depend on its key only."""

    step: str
    number: int  # order of results
    function: str  # "module:function" with the name of a `RunUnit`
    arguments: JsonObject  # small
    inputs: tuple[str, ...] = ()  # keys of units whose outputs it reads
    size: int = 0  # bytes of work, for the progress bar
    version: int = 1

    @cached_property
    def key(self) -> str:
        """Hash of everything that the outputs depend on."""
        parts = [self.step, self.function, self.version, self.arguments, self.inputs]
        parts = json.loads(json.dumps(parts))  # keys that are numbers become strings, whose order is another
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass
class Tally:
    """Counts that merge in any order; names as in the agreements below."""

    counts: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, list[int]] = field(default_factory=dict)  # fixed bins by name
    examples: dict[str, list[tuple[str, JsonObject]]] = field(default_factory=dict)  # the least hashes of ids

    def merge(self, other: "Tally") -> None:
        """Add another tally."""
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        for name, bins in other.histograms.items():
            own = self.histograms.get(name, [0] * len(bins))
            self.histograms[name] = [a + b for a, b in zip(own, bins, strict=True)]
        for name, examples in other.examples.items():
            self.examples[name] = both = self.examples.get(name, []) + examples
            keep_least(name, both)


def keep_least(name: str, examples: list[tuple[str, JsonObject]]) -> None:
    """Sort the examples of a name, and keep `MAX_EXAMPLES` of them: the same ones in any order of the work."""
    examples.sort(key=lambda example: example[0])
    if name not in LISTED_IN_FULL:
        del examples[MAX_EXAMPLES:]


@dataclass(frozen=True)
class UnitResult:
    """The record of a finished unit, as the journal keeps it."""

    unit: Unit
    outputs: Mapping[str, tuple[int, str]]  # file name: size, sha256
    tally: Tally  # empty in results that `run_steps` returns, to bound memory: `total_tally` sums those of the journal
    values: JsonObject  # what later steps need: numbers of documents, ranges of ids, paths of blocks
    poisoned: Sequence[JsonObject] = ()
    seconds: float = 0.0  # in no key and no dataset


@dataclass(frozen=True)
class Step:
    """Units that may run at the same time; made when the steps before it are complete."""

    name: str
    units: Callable[[Mapping[str, Sequence[UnitResult]]], Sequence[Unit]]  # from the results of earlier steps
    reads: Sequence[str] | None = None
    """Earlier steps whose outputs its units read; None: any. Outputs are deleted when no step to come reads them."""
    weight: float = 0.02
    """Its time, relative to a pass of the usual stages over the same text, for the progress bar."""


class Position(Protocol):
    """Tells the parent which document a worker reads, so that one that ends workers can be named and skipped."""

    skipped: frozenset[DocumentId]
    """Documents that ended a worker before: leave them out."""

    is_timed: bool
    """Whether a document that takes longer than the recipe's `document_seconds` is skipped; a unit may set it to false."""

    def at(self, document: DocumentId | None) -> None:
        """The worker begins a document; None: something else, which may take long."""


class RunUnit(Protocol):
    """The function of a unit: reads `inputs` (key: folder), writes into `out`, returns tally and values."""

    def __call__(
        self, arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
    ) -> tuple[Tally, JsonObject]: ...


class Executor(Protocol):
    """Runs units in any order, anywhere; their results are in the journal of `work` afterwards.

    Raises:
        RunError: the disk is full, or a unit cannot be done; finished units stay finished.
    """

    def run(self, units: Sequence[Unit], work: Path, report: Callable[[UnitResult], None]) -> None: ...

    def close(self) -> None:
        """End the workers, which stay for the next units until then."""
