"""The stage `hook`: a function of the user's, where scrubbing of private data and other judgments attach."""

import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from lmcraft.errors import UserError
from lmcraft.preparation.contracts import KEEP, JsonObject, Record, Verdict
from lmcraft.preparation.inputs.poison import is_valid

Judge = Callable[[Record], Verdict | str | None]


@dataclass(frozen=True)
class Hook:
    """Calls a function with each document."""

    function: str = ""
    """Function as module:function, importable where the command runs; it takes a record and returns a verdict, or none."""

    name: ClassVar[str] = "hook"
    version: ClassVar[int] = 2
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

        A text that the function replaces in the record itself counts as a new text. It may also write the record's
        language, license and notes.

        Raises:
            UserError: the function returned something else, or wrote what no file can hold.
        """
        text = record.text
        result = self._judge(record)
        changed, record.text = record.text, text
        if result is None:
            result = changed
        if isinstance(result, str):
            result = Verdict("changed", text=result) if result != text else KEEP
        if not isinstance(result, Verdict):
            raise UserError(f"function={self.function!r} returned {type(result).__name__}: return a Verdict, a text or None")
        self._check(record, result)
        return result

    def _check(self, record: Record, verdict: Verdict) -> None:
        """Raise UserError for what the pipeline cannot count or write."""
        texts = {"language": record.language, "license": record.license, "reason": verdict.reason}
        texts |= {"evidence": verdict.evidence, "text": verdict.text or ""}
        for name, value in texts.items():
            if not isinstance(value, str):
                raise UserError(f"function={self.function!r} gave the {name} {value!r}, which is not a text: use a text")
            if not is_valid(value):
                raise UserError(
                    f"function={self.function!r} gave a {name} with a lone surrogate, which no file can hold: leave it out"
                )
        if verdict.text is not None and not verdict.reason:
            raise UserError(f"function={self.function!r} gave a Verdict with a text, but without a reason: add one")
        for name in ("value", "threshold"):
            value = getattr(verdict, name)
            if value is not None and not isinstance(value, int | float):
                raise UserError(f"function={self.function!r} gave the {name} {value!r}, which is not a number: use a number")
        for name, notes in (("notes of the record", record.notes), ("notes of its Verdict", verdict.notes)):
            try:
                json.dumps(notes)
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"function={self.function!r} wrote {name} that JSON cannot hold ({error}): use texts, numbers and lists"
                ) from error

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
        except (Exception, SystemExit) as error:  # the module is the user's, and may do anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(
                f"function={self.function!r}: the module '{module_name}' fails ({reason}): correct it"
            ) from error
        function = getattr(module, name, None)
        if not callable(function):
            raise UserError(f"function={self.function!r}: the module '{module_name}' has no function '{name}'")
        judge: Judge = function
        return judge
