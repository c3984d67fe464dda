"""The stage `hook`: a function of the user's, where scrubbing of private data and other judgments attach."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from lmcraft.errors import UserError
from lmcraft.preparation.contracts import KEEP, JsonObject, Record, Verdict

Judge = Callable[[Record], Verdict | str | None]


@dataclass(frozen=True)
class Hook:
    """Calls a function with each document."""

    function: str = ""
    """Function as module:function, importable where the command runs; it takes a record and returns a verdict, or none."""

    name: ClassVar[str] = "hook"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ("changed",)
    """And those that the function gives."""

    def __post_init__(self) -> None:
        module, _, function = self.function.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), function)):
            raise UserError(f"function={self.function!r} does not name a function: write module:function")
        self._judge  # noqa: B018  # refuses what cannot be imported before the run

    def fingerprint(self) -> JsonObject:
        """The name of the function, and the sha256 of the file that has it."""
        file = inspect.getsourcefile(inspect.unwrap(self._judge))
        contents = Path(file).read_bytes() if file else b""
        return {"function": self.function, "sha256": hashlib.sha256(contents).hexdigest()}

    def judge(self, record: Record) -> Verdict:
        """The function's verdict: a `Verdict`, a new text, or None to keep the document.

        Raises:
            UserError: the function returned something else.
        """
        result = self._judge(record)
        if result is None:
            return KEEP
        if isinstance(result, str):
            return Verdict("changed", text=result) if result != record.text else KEEP
        if not isinstance(result, Verdict):
            raise UserError(f"function={self.function!r} returned {type(result).__name__}: return a Verdict, a text or None")
        return result

    @cached_property
    def _judge(self) -> Judge:
        module_name, _, name = self.function.partition(":")
        if (folder := str(Path.cwd())) not in sys.path:  # the command has its own folder there instead
            sys.path.append(folder)
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise UserError(
                f"function={self.function!r} cannot be imported ({error}): "
                "put the module into the current folder or on PYTHONPATH"
            ) from error
        function = getattr(module, name, None)
        if not callable(function):
            raise UserError(f"function={self.function!r}: the module '{module_name}' has no function '{name}'")
        judge: Judge = function
        return judge
