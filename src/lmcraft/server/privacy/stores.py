"""The places where a server keeps what its users send, and operations on all of them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from lmcraft.annotation.store import ReviewStore
from lmcraft.data.documents import count_noun
from lmcraft.errors import RunError, UserError
from lmcraft.server.conversations.store import Store

REVIEW_ITEMS, REPORTS, LOGGED_PROMPTS = "review items", "reports", "logged prompts"


@dataclass(frozen=True)
class Stores:
    """Where a server keeps what its users send; None: nowhere."""

    conversations: Store | None = None
    database: sa.Engine | None = None
    """With the tables of conversations and responses; without `conversations` it is in memory, and has responses alone."""
    reviews: ReviewStore | None = None
    prompt_log: Path | None = None


def add_up(*steps: Callable[[], Counter[str]]) -> Counter[str]:
    """The sum of what steps count; each runs, even if one before it fails.

    Raises:
        OSError, RunError, UserError: the first that a step raised.
    """
    total: Counter[str] = Counter()
    problems: list[Exception] = []
    for step in steps:
        try:
            total.update(step())
        except (OSError, RunError, UserError) as error:
            problems.append(error)
    if problems:
        raise problems[0]
    return total


def describe_counts(counts: Mapping[str, int]) -> str:
    """Counts in words, without those that are 0: `2 conversations, 1 response`."""
    parts = [count_noun(count, name.removesuffix("s"), name) for name, count in counts.items() if count]
    return ", ".join(parts) or "nothing"
