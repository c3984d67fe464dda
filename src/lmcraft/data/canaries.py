"""Canaries: short documents that are in the training data only if a coin came up heads, so that an audit can see what a
model gives away.

A canary is a passage of the training text, followed by a secret: a token that hardly occurs elsewhere in the data, and that
no other canary has (new-token canaries, arXiv 2503.06808). Every canary is written down with its coin, whether it is in the
data or not.

Shapes: B rows, T tokens of a row, V vocabulary.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.loader import Batch, Dataset, Int64, Sample, TokenSplit
from lmcraft.errors import UserError
from lmcraft.folder import write_json_lines
from lmcraft.json_lines import parse_json

VERSION = 1
PREFIX_TOKENS = 12
REPETITIONS = (1, 2, 4, 8, 16)
MIN_CANDIDATES = 16  # tokens besides the secrets that exposure compares a secret with
MAX_CANDIDATES = 4096
MAX_ROW_SHARE = 0.5  # of the rows that get a canary
COUNTED_TOKENS = 1 << 28  # of the training text, at most
TOKENS_PER_COUNT = 1 << 24
DRAWS_PER_PREFIX = 100


@dataclass(frozen=True)
class Canary:
    """A document with a secret."""

    ids: tuple[int, ...]
    """Token ids of the passage and then the secret, which is the last; without the tokens that begin or end a document."""
    included: bool
    """Whether its coin put it into the training data."""
    repetitions: int
    """How often an epoch reads it, if it is included."""

    @property
    def prefix(self) -> tuple[int, ...]:
        return self.ids[:-1]

    @property
    def secret(self) -> int:
        return self.ids[-1]


@dataclass(frozen=True)
class Canaries:
    """The canaries of a run."""

    items: tuple[Canary, ...]
    candidates: tuple[int, ...]
    """Tokens as rare as the secrets, none of which is a secret."""
    end: int | None
    """The token that ends a document."""
    seed: int
    """Of the rows that they are in."""
    period: int = 0
    """Rows of an epoch; 0: the canaries are not parts of rows, but units or examples of their own."""

    def documents(self) -> list[Int64]:
        """Token ids of each included canary with its end token, as often as it is repeated."""
        end = [] if self.end is None else [self.end]
        return [
            np.array([*item.ids, *end], np.int64) for item in self.items if item.included for _ in range(item.repetitions)
        ]

    @cached_property
    def rows(self) -> dict[int, int]:
        """The number of the canary that each of these rows of an epoch ends with."""
        numbers = [number for number, item in enumerate(self.items) if item.included for _ in range(item.repetitions)]
        positions = np.random.default_rng(self.seed).choice(self.period, len(numbers), replace=False).tolist()
        return dict(zip(positions, numbers, strict=True))

    def times_read(self, row_count: int) -> list[int]:
        """How often the first rows of a run contain each canary."""
        epochs, rest = divmod(row_count, self.period)
        counts = Counter(number for row, number in self.rows.items() for _ in range(epochs + (row < rest)))
        return [counts[number] for number in range(len(self.items))]

    def check_rows(self, sequence_length: int) -> None:
        """Raise UserError if the canaries do not fit into the rows of an epoch."""
        needed = sum(item.repetitions for item in self.items if item.included)
        if needed > MAX_ROW_SHARE * self.period:
            raise UserError(
                f"canaries={len(self.items)} take {needed:,} rows, more than half of the {self.period:,} rows of an epoch: "
                "use fewer canaries, or more text"
            )
        longest = max((len(item.ids) for item in self.items), default=0) + 2
        if sequence_length < longest:
            raise UserError(f"canaries need rows of {longest} tokens: raise sequence_length={sequence_length}")

    def describe(self) -> str:
        """How many there are, in a sentence."""
        return f"{len(self.items)} canaries, {sum(item.included for item in self.items)} of which are in the data"

    def write(self, file: Path) -> None:
        """Write JSON lines: what they share, then one canary a line."""
        shared = {name: value for name, value in asdict(self).items() if name != "items"}
        write_json_lines(file, [{"version": VERSION, **shared}, *map(asdict, self.items)])

    @classmethod
    def read(cls, file: Path) -> "Canaries | None":
        """The canaries of a file; None if there is no such file.

        Raises:
            UserError: it is damaged or of a newer version.
        """
        if not file.is_file():
            return None
        try:
            shared, *rows = map(parse_json, file.read_bytes().splitlines())
            if shared.pop("version") != VERSION:
                raise ValueError("version")
            items = tuple(Canary(**{**row, "ids": tuple(map(int, row["ids"]))}) for row in rows)
            return cls(**{**shared, "candidates": tuple(shared["candidates"]), "items": items})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"'{file}' is not a list of canaries that this version of lmcraft reads: train again") from error


def draw_canaries(
    split: TokenSplit,
    count: int,
    *,
    vocab_size: int,
    special: Sequence[int],
    end: int | None,
    seed: int,
    repetitions: Sequence[int] = REPETITIONS,
) -> Canaries:
    """Draw canaries whose prefixes are passages of a split, and their coins.

    Args:
        split: the training text.
        count: the number of canaries, in the data or not.
        vocab_size: of the tokenizer.
        special: token ids that are never secrets.
        end: the token that ends a document.
        seed: of all draws.
        repetitions: how often canaries are read in an epoch; each number gets an equal share of them.

    Raises:
        UserError: the vocabulary is too small, or the text too short.
    """
    rng = np.random.default_rng([seed, count])
    rare = _rarest_tokens(split, vocab_size, special)
    if 2 * count + MIN_CANDIDATES > len(rare):
        raise UserError(
            f"canaries={count} need a secret token each and as many to compare them with, and the vocabulary has "
            f"{len(rare):,}: use at most {max(0, (len(rare) - MIN_CANDIDATES) // 2):,}"
        )
    secrets, others = rare[:count], rare[count : count + max(count, MIN_CANDIDATES)][:MAX_CANDIDATES]
    pool = rng.permutation(np.concatenate([secrets, others]))  # so that secrets and candidates are equally rare
    prefixes = list(_draw_prefixes(split, count, end, rng))
    levels = rng.permutation([repetitions[number % len(repetitions)] for number in range(count)])
    coins = rng.random(count) < 0.5
    items = tuple(
        Canary((*prefix, int(secret)), bool(coin), int(level))
        for prefix, secret, coin, level in zip(prefixes, pool[:count], coins, levels, strict=True)
    )
    return Canaries(items, tuple(pool[count:].tolist()), end, int(rng.integers(1 << 31)))


def redraw_coins(canaries: Canaries, seed: int) -> Canaries:
    """The same canaries with other coins."""
    coins = np.random.default_rng(seed).random(len(canaries.items)) < 0.5
    items = tuple(replace(item, included=bool(coin)) for item, coin in zip(canaries.items, coins, strict=True))
    return replace(canaries, items=items)


def _rarest_tokens(split: TokenSplit, vocab_size: int, special: Sequence[int]) -> Int64:
    """All tokens but the special ones, the rarest of the text first."""
    counts = np.zeros(vocab_size, np.int64)
    for start in range(0, min(len(split), COUNTED_TOKENS), TOKENS_PER_COUNT):
        tokens = split.slice(start, min(start + TOKENS_PER_COUNT, len(split)))
        counts += np.bincount(tokens, minlength=vocab_size)[:vocab_size]
    order = np.argsort(counts, kind="stable")
    return order[~np.isin(order, np.array(list(special), np.int64))]


def _draw_prefixes(split: TokenSplit, count: int, end: int | None, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """Different passages of `PREFIX_TOKENS` tokens, each inside a document."""
    seen: set[tuple[int, ...]] = set()
    for _ in range(count):
        for _ in range(DRAWS_PER_PREFIX):
            start = int(rng.integers(max(1, len(split) - PREFIX_TOKENS)))
            passage = tuple(split.slice(start, min(start + PREFIX_TOKENS, len(split))).tolist())
            if end not in passage and passage not in seen:
                break
        else:
            raise UserError(
                f"canaries={count} need as many different passages of {PREFIX_TOKENS} tokens, which the text lacks: "
                "use fewer canaries, or more text"
            )
        seen.add(passage)
        yield passage


class CanaryRows(Dataset):
    """The rows of a dataset, some of which end with a canary as a document of its own."""

    def __init__(self, rows: Dataset, canaries: Canaries, label: int | None = None) -> None:
        """Put canaries in place of the ends of rows.

        Args:
            rows: of the run.
            canaries: with the `period` of these rows.
            label: in place of the canaries' tokens; None: the tokens.
        """
        self.inner, self.canaries, self.label = rows, canaries, label
        self.sequence_length = rows.sequence_length

    def __repr__(self) -> str:
        return f"CanaryRows({self.inner!r}, {len(self.canaries.items)} canaries)"

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order."""
        batch = self.inner.batch(indices)
        for row, index in enumerate(indices):
            number = self.canaries.rows.get(index % self.canaries.period)
            if number is not None:
                self._overwrite_end(batch, row, self.canaries.items[number])
        return batch

    def ordered(self) -> Iterator[Sample]:
        """All rows once, in order, without canaries."""
        return self.inner.ordered()

    def fingerprint(self) -> str:
        """Hash of the tokens and the canaries."""
        return hashlib.sha256(f"{self.inner.fingerprint()} {self.canaries}".encode()).hexdigest()

    def _overwrite_end(self, batch: Batch, row: int, canary: Canary) -> None:
        end = [] if self.canaries.end is None else [self.canaries.end]
        tokens: NDArray[Any] = np.array([*end, *canary.ids, *end], np.int64)
        if self.label is not None:
            tokens[:] = self.label
        begin = batch.input_ids.shape[1] - (len(tokens) - 1)
        batch.input_ids[row, begin:] = tokens[:-1]
        batch.targets[row, begin:] = tokens[1:]
        batch.document_ids[row, begin:] = batch.document_ids[row, begin - 1] + 1
