"""The plain view: what a reader sees, in the simplest characters."""

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.normalization.characters import DELETED, EXPANDED, expansions, fold_table
from lmcraft.moderation.normalized_text import View

Codes = NDArray[np.uint32]
Positions = NDArray[np.int32]
# The same for texts in ASCII: lower case, no control characters.
ASCII_LOWER = bytes(range(256)).lower().translate(bytes.maketrans(b"\x0b\x0c", b"\n\n"))
ASCII_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n\r\x0b\x0c")


def make_plain(text: str) -> View:
    """The plain view of a text."""
    if text.isascii():
        data = text.encode().translate(ASCII_LOWER, ASCII_CONTROLS)
        if len(data) == len(text):
            return View("plain", data.decode())
    codes = to_codes(text)
    folded = fold_table()[codes]
    changed = folded >= EXPANDED
    if not changed.any():
        return View("plain", to_text(folded))
    if (folded == EXPANDED).any():
        folded, positions = _expand(codes, folded)
    else:
        positions = np.flatnonzero(~changed).astype(np.int32)
        folded = folded[positions]
    return View("plain", to_text(folded), np.append(positions, np.int32(len(text))))


def _expand(codes: Codes, folded: Codes) -> tuple[Codes, Positions]:
    """Put several characters where one becomes several, and none where it disappears."""
    results = {position: expansions()[int(codes[position])] for position in np.flatnonzero(folded == EXPANDED).tolist()}
    counts = np.where(folded == DELETED, 0, 1)
    for position, result in results.items():
        counts[position] = len(result)
    positions = np.repeat(np.arange(len(codes), dtype=np.int32), counts)
    expanded = folded[positions]
    starts = np.cumsum(counts) - counts
    for position, result in results.items():
        expanded[starts[position] : starts[position] + len(result)] = to_codes(result)
    return expanded, positions


def to_codes(text: str) -> Codes:
    """(len(text),): the code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def to_text(codes: Codes) -> str:
    """The text of code points."""
    return codes.astype("<u4", copy=False).tobytes().decode("utf-32-le", "surrogatepass")
