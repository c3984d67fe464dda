"""Chooses between the matchers: in C++ where it is compiled or worth compiling, in Python until then."""

import threading
from collections.abc import Sequence
from typing import Protocol

from lmcraft.cpp.library import BuildError, is_compiled
from lmcraft.moderation.lexicon.matcher import Matches, TokenMatcher
from lmcraft.moderation.lexicon.native.library import SOURCE, NativeMatcher

MIN_CHARS = 2_000_000
"""Python needs a second or two for so much text; compiling takes some seconds."""


class _Finder(Protocol):
    def find(self, text: str) -> Matches: ...


class Matcher:
    """Finds keys in texts, with the faster matcher from some text on, which a thread of its own compiles.

    Args:
        keys: different ones, each the tokens of `split_key`.
    """

    def __init__(self, keys: Sequence[Sequence[str]]) -> None:
        self._keys = keys
        self._chars, self._is_due = 0, True
        self._thread: threading.Thread | None = None
        self._finder: _Finder | None = None
        if is_compiled(SOURCE):
            self._open_native()
        if self._finder is None:
            self._finder = TokenMatcher(keys)

    def find(self, text: str) -> Matches:
        """All matches of keys in a text, overlapping ones, too: see `TokenMatcher`."""
        self._chars += len(text)
        if self._is_due and self._chars > MIN_CHARS:
            self._is_due = False
            self._thread = threading.Thread(target=self._open_native, name="compile-lexicon")
            self._thread.start()
        assert self._finder is not None
        return self._finder.find(text)

    @property
    def is_native(self) -> bool:
        """Whether the matcher in C++ is in use."""
        return isinstance(self._finder, NativeMatcher)

    def wait(self) -> None:
        """Wait until the matcher in C++ is compiled, if it is being compiled."""
        if self._thread is not None:
            self._thread.join()

    def _open_native(self) -> None:
        self._is_due = False
        try:
            self._finder = NativeMatcher(self._keys)
        except BuildError:  # the matcher in Python stays
            return
