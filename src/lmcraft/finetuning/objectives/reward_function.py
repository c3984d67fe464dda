"""The user's reward function: loaded from a Python file, and called with an answer."""

import importlib.util
import inspect
from collections.abc import Callable
from functools import cache
from math import nan
from pathlib import Path
from typing import Any

from lmcraft.errors import RunError, UserError
from lmcraft.finetuning.examples import Conversation
from lmcraft.folder import sha256_of
from lmcraft.setting_values import expand_user

MAX_REWARD = 1e30  # beyond, the deviation within a group would overflow

RewardFunction = Callable[[Conversation, str], float]
"""The reward of an answer, given the example whose prompt it answers."""


def load_reward(address: str) -> RewardFunction:
    """The function NAME of a Python file, from "FILE.py:NAME". A file is run once, unless it changes.

    Raises:
        UserError: there is no such function, the file cannot be run, or it takes other arguments.
    """
    name, file = "", Path()
    if ":" in address:
        path, _, name = address.rpartition(":")
        file = expand_user(path) if path else file
    if not name or file.suffix != ".py":
        raise UserError(f"reward='{address}' names no function: give FILE.py:NAME, with the path of a Python file")
    if not file.is_file():
        raise UserError(f"reward='{address}': the file '{file}' does not exist: check the path")
    function = getattr(_run_file(file, file.stat().st_mtime_ns), name, None)
    if not callable(function):
        raise UserError(f"reward='{address}': '{file}' has no function '{name}'")
    if any(map(inspect.iscoroutinefunction, (function, getattr(function, "__call__", None)))):  # noqa: B004
        raise UserError(f"reward='{address}' is asynchronous: write `def {name}` instead of `async def {name}`")
    try:
        inspect.signature(function).bind(None, "")
    except TypeError as error:
        raise UserError(f"reward='{address}' is called with an example and an answer: {error}") from error
    except ValueError:  # a function of another language has no signature
        pass
    return function  # type: ignore[no-any-return]


@cache
def _run_file(file: Path, changed: int) -> Any:
    """The module of a Python file that was last changed at that time."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # user code
        raise UserError(f"reward: '{file}' cannot be run ({error!r}): fix it") from error
    return module


def hash_reward(address: str) -> str:
    """Hash of the Python file and the name of a reward function; "" if there is no such file."""
    file, _, name = address.rpartition(":")
    return f"{sha256_of(Path(file))}:{name}" if Path(file).is_file() else ""


def compute_reward(reward: RewardFunction, example: Conversation, answer: str) -> float:
    """The reward of an answer.

    Raises:
        RunError: the function raises an exception or returns something other than a number of at most `MAX_REWARD`.
    """
    try:
        value: Any = reward(example, answer)
    except (Exception, SystemExit) as error:  # user code
        raise RunError(f"the reward function failed ({error!r}) on the answer {answer!r:.200}: correct it") from error
    try:
        number = nan if isinstance(value, str) else float(value)
    except Exception:  # such as a number that no float holds, or a `__float__` of the user's
        number = nan
    if inspect.iscoroutine(value):
        value.close()  # so that Python does not warn that it was never awaited
    if not abs(number) <= MAX_REWARD:
        raise RunError(
            f"the reward function returned {_shorten(value)} for the answer {answer!r:.200}: "
            f"return a finite number, at most {MAX_REWARD:g}"
        )
    return number


def _shorten(value: Any) -> str:
    try:
        return f"{value!r:.100}"
    except Exception as error:  # such as a number of more digits than Python prints, or a `__repr__` of the user's
        return f"a value of type {type(value).__name__}, which cannot be shown ({error}),"
