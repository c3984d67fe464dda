"""Another clock for one module."""

import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest


def set_clock(monkeypatch: pytest.MonkeyPatch, module: ModuleType, **functions: Callable[[], float]) -> None:
    """Replace functions of `time`, such as `monotonic`, for a module that imports it.

    The functions of `time` itself must stay as they are: the event loop of a server in another thread reads them, and one
    that was told a time long past sleeps until that clock reaches its next timer, which is hours.
    """
    monkeypatch.setattr(module, "time", SimpleNamespace(**{**vars(time), **functions}))
