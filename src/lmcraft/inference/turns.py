"""Turns of several threads that share an engine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lmcraft.errors import UserError


class Turns:
    """Lets one thread at a time use an engine; the others wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._user: int | None = None  # the thread whose turn it is

    @contextmanager
    def take(self, unless: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Wait for a turn: yields True, or False without one as soon as `unless` is true because of another thread's turn.

        Raises:
            UserError: it is this thread's turn already: code that the engine calls, such as a logits processor, uses it.
        """
        thread = threading.get_ident()
        with self._changed:
            if self._user == thread:
                raise UserError(
                    "a function that the model calls while it generates cannot generate with the same model: load it twice"
                )
            self._changed.wait_for(lambda: self._user is None or unless())
            taken = not unless()
            if taken:
                self._user = thread
        try:
            yield taken
        finally:
            if taken:
                with self._changed:
                    self._user = None
                    self._changed.notify_all()
