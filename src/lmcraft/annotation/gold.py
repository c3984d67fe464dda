"""Gold items: their right verdict is known, so they show how reliable a reviewer is.

They are mixed in at a share, never settle, and are never exported.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from lmcraft.annotation.guidelines import Guideline
from lmcraft.errors import UserError


@dataclass(frozen=True)
class ExpectedVerdict:
    """The verdict that is known to be right."""

    label: str
    rule: str = ""


def check_expected(expected: ExpectedVerdict, guideline: Guideline) -> None:
    """Check that a verdict fits a guideline.

    Raises:
        UserError: it has no such label or rule.
    """
    if guideline.label(expected.label) is None:
        raise UserError(
            f"expected label {expected.label[:64]!a} is not one of guideline '{guideline.name}'; use one of its labels"
        )
    if expected.rule and guideline.rule(expected.rule) is None:
        raise UserError(
            f"expected rule {expected.rule[:64]!a} is not one of guideline '{guideline.name}'; use one of its rules"
        )


def is_due(reviewer: str, judged: int, share: float, salt: str) -> bool:
    """Whether a reviewer's next item is a gold item.

    Args:
        reviewer: their name.
        judged: items that they have judged or skipped so far.
        share: of gold items among all.
        salt: a secret of the store.
    """
    return _number(salt, reviewer, judged) < share * 2.0**64


def pick(reviewer: str, unseen: Sequence[str], salt: str) -> str | None:
    """One of the gold items that a reviewer has not seen; None if there is none."""
    return min(unseen, key=lambda item: _number(salt, reviewer, item), default=None)


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(map(str, parts)).encode()).digest()[:8])
