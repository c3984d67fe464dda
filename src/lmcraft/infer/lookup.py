"""Guessing what comes next from what the text said before (prompt lookup decoding, Saxena 2023).

Summaries, edits and code repeat their prompt. A guess costs a row of a step that reads every weight anyway, and is kept only
where the model says the same, so the text is the same.
"""

from collections.abc import Sequence

LONGEST, SHORTEST = 4, 2  # tokens that have to agree
WINDOW = 4096  # tokens looked back


def guess(tokens: Sequence[int], most: int) -> list[int]:
    """Up to `most` tokens that followed the last occurrence of the text's end."""
    if most < 1:
        return []
    text = tokens[-WINDOW:]
    for length in range(min(LONGEST, len(text) - 1), SHORTEST - 1, -1):
        end = list(text[-length:])
        for start in range(len(text) - length - 1, -1, -1):
            if text[start] == end[0] and list(text[start : start + length]) == end:
                return list(text[start + length : start + length + most])
    return []
