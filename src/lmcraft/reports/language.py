"""The two languages of a report. The code has its texts in English; for the Chinese half of a page they are looked up."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from lmcraft.reports.chinese import CHINESE

Language = Literal["en", "zh-Hans"]
LANGUAGES: tuple[Language, ...] = ("en", "zh-Hans")
_LANGUAGE: ContextVar[Language] = ContextVar("language", default="en")


@contextmanager
def writing_in(language: Language) -> Iterator[None]:
    """In the context, `say` gives texts in this language."""
    token = _LANGUAGE.set(language)
    try:
        yield
    finally:
        _LANGUAGE.reset(token)


def page_language() -> Language:
    """The language in which `say` gives texts."""
    return _LANGUAGE.get()


def enumerate_texts(texts: Iterable[str]) -> str:
    """The texts that are not empty, one after the other."""
    return (", " if _LANGUAGE.get() == "en" else "，").join(filter(None, texts))


def say(text: str, /, **values: object) -> str:
    """A text in the language of the page, with the values in place of {name}; one that the table lacks stays in English."""
    spoken = CHINESE.get(text, text) if _LANGUAGE.get() == "zh-Hans" else text
    return spoken.format(**values) if values else spoken
