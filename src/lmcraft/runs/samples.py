"""The texts of samples.jsonl that a model wrote during training, from the latest on."""

import os
from pathlib import Path
from typing import Any

from lmcraft.json_lines import parse_json
from lmcraft.runs.small_files import open_regular

BLOCK_BYTES = 32 * 2**10
MAX_SAMPLE_BYTES = 2**20  # a longer row is left out


def read_samples(file: Path, *, limit: int, before: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """Samples with `step` and `text`, newest first, and the cursor for those before them; None: there are none.

    Args:
        file: samples.jsonl.
        limit: the most to read.
        before: cursor of an earlier call; None: from the end.
    """
    samples: list[dict[str, Any]] = []
    try:
        descriptor = open_regular(file)
    except OSError:
        return samples, None
    try:
        size = os.fstat(descriptor).st_size
        end = size if before is None else min(before, size)
        while end > 0 and len(samples) < limit:
            start, line = _line_before(descriptor, end)
            if (sample := _parse(line)) is not None:
                samples.append(sample)
            end = start
    except OSError:
        return samples, None
    finally:
        os.close(descriptor)
    return samples, end or None


def _line_before(descriptor: int, end: int) -> tuple[int, bytes]:
    """Where the line that ends before `end` begins, and the line; empty if it is too long."""
    line, start = b"", end
    while start > 0 and len(line) <= MAX_SAMPLE_BYTES:
        block_start = max(0, start - BLOCK_BYTES)
        block = os.pread(descriptor, start - block_start, block_start)
        line, start = block + line, block_start
        if (at := line.rfind(b"\n", 0, max(0, len(line) - 1))) >= 0:
            last_line = line[at + 1 :]
            return start + at + 1, last_line if len(last_line) <= MAX_SAMPLE_BYTES else b""
    return start, line if start == 0 and len(line) <= MAX_SAMPLE_BYTES else b""


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = parse_json(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int or not isinstance(row.get("text"), str):
        return None
    return {"step": row["step"], "text": row["text"].encode("utf-8", "replace").decode()}
