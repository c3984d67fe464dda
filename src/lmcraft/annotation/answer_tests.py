"""What reviewers say that a later answer must and must not contain: whether it can be met, and as columns of a test."""

from collections.abc import Collection, Sequence
from typing import Any

from lmcraft.data.words import fold
from lmcraft.errors import UserError

MAX_SHOWN_CHARS = 60


def check_answer_tests(contains: Sequence[str], excludes: Sequence[str], correction: str) -> None:
    """Check that an answer can meet all of a verdict's texts, and that its correction, if there is one, does.

    Texts are compared as `kind = "checks"` compares them: without case, forms of characters and spacing.

    Raises:
        UserError: two texts, or a text and the correction, contradict each other.
    """
    answer = _normalized(correction)
    for text in contains:
        for other in excludes:
            if _normalized(other) in _normalized(text):
                values = {"rule": "both", "contains": _shown(text), "excludes": _shown(other)}
                message = f"no answer contains {_shown(text)!a} without {_shown(other)!a}, which it must not contain"
                raise UserError(f"{message}; remove one", code="contradictory_texts", values=values)
        if answer and _normalized(text) not in answer:
            values = {"rule": "lacks", "contains": _shown(text)}
            message = f"the correction lacks {_shown(text)!a}, which an answer must contain; add it, or remove that text"
            raise UserError(message, code="contradictory_texts", values=values)
    for text in excludes:
        if answer and _normalized(text) in answer:
            values = {"rule": "has", "excludes": _shown(text)}
            message = f"the correction contains {_shown(text)!a}, which an answer must not; change it, or remove that text"
            raise UserError(message, code="contradictory_texts", values=values)


def consistent_tests(contains: Sequence[str], excludes: Sequence[str], correction: str) -> tuple[list[str], list[str]]:
    """The texts that an answer can meet: without those that the correction does not, or that others of them contradict.

    Several reviewers' texts may contradict each other, though those of each do not.
    """
    answer = _normalized(correction)
    contains = [text for text in contains if not answer or _normalized(text) in answer]
    excludes = [text for text in excludes if not answer or _normalized(text) not in answer]
    clashes = {(text, other) for text in contains for other in excludes if _normalized(other) in _normalized(text)}
    return _without(contains, {text for text, _ in clashes}), _without(excludes, {other for _, other in clashes})


def as_column(texts: Sequence[str]) -> list[Any]:
    """Texts as `kind = "checks"` reads them: a text between slashes would be a regular expression there."""
    return [{"text": text} if text.startswith("/") and text.endswith("/") else text for text in texts]


def _without(texts: Sequence[str], left_out: Collection[str]) -> list[str]:
    return [text for text in texts if text not in left_out]


def _normalized(text: str) -> str:
    return " ".join(fold(text).split())


def _shown(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"
