"""Speeds of this machine, measured once: the cache of measurements, and how fast memory is read.

A measurement takes at most 0.2 s, happens when its number is first needed, and is kept in the cache folder.
"""

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from lmcraft.folder import remove_path, write_json
from lmcraft.hub.download_cache import cache_folder
from lmcraft.processor import cpu_key

MAX_MEASURE_SECONDS = 0.2  # of each of the things that are measured together
MAX_LOAD_PER_CORE = 0.5  # above it, other programs slow a measurement down too much to cache it
BANDWIDTH_BYTES = 2**28  # more than a processor's caches hold

Speeds = dict[str, float]


def measure_once(kind: str, names: Sequence[str], measure: Callable[[], Speeds]) -> Speeds:
    """Speeds from the cache, which holds those of this processor, torch version and number of threads; else measured.

    What is measured while other programs are busy is not kept.

    Args:
        kind: what is measured, with the version of the code that is measured, if that is not torch's.
        names: the speeds that are needed.
        measure: measures them.
    """
    file = _cache_file(kind)
    cached = _read_speeds(file)
    if cached.keys() >= set(names):
        return cached
    if is_busy():
        return measure()
    speeds = cached | measure()
    with contextlib.suppress(OSError):  # a cache that cannot be written costs the next process some tenths of a second
        write_json(file, speeds)
    return speeds


def forget_measurements() -> None:
    """Have the next processes measure again."""
    remove_path(_cache_folder())


def is_busy() -> bool:
    """Whether other programs used much of this machine during the last minute; false where the system does not say."""
    try:
        return os.getloadavg()[0] > MAX_LOAD_PER_CORE * (os.cpu_count() or 1)
    except OSError:
        return False


@cache
def memory_bandwidth() -> float:
    """Bytes per second that this CPU's threads read from memory together; a decode step reads every weight once."""
    return measure_once("memory", ("memory",), _measure_bandwidth)["memory"]


def _measure_bandwidth() -> Speeds:
    numbers = torch.ones(BANDWIDTH_BYTES // 8, dtype=torch.int64)
    best = math.inf
    begin = end = time.perf_counter()
    while end - begin < MAX_MEASURE_SECONDS:
        start = end
        numbers.sum()
        end = time.perf_counter()
        best = min(best, end - start)
    return {"memory": BANDWIDTH_BYTES / best}


def _cache_folder() -> Path:
    return cache_folder() / "speeds"


def _cache_file(kind: str) -> Path:
    key = [kind, cpu_key(), torch.__version__, torch.get_num_threads()]
    return _cache_folder() / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.json"


def _read_speeds(file: Path) -> Speeds:
    """The speeds that earlier processes measured; empty where there are none, or the file is damaged."""
    try:
        speeds = json.loads(file.read_text(encoding="utf-8"))
        valid = all(0 < value < math.inf for value in speeds.values())
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return speeds if valid else {}
