"""Text on the console: a terminal never sees control characters, since a model or a server can write any."""

import os
import re
import sys

CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline


def replace_control_characters(text: str) -> str:
    """`text` with U+FFFD in place of every character that a terminal would execute instead of showing it."""
    return CONTROL_CHARACTERS.sub("\ufffd", text)


def write_text(text: str, *, dim: bool = False) -> None:
    """Write to standard output and flush; characters that its encoding lacks become question marks.

    Args:
        text: written unchanged where standard output is not a terminal.
        dim: show the text in a fainter color, on a terminal only.
    """
    if sys.stdout.isatty():
        text = replace_control_characters(text)
        if dim and "NO_COLOR" not in os.environ:
            text = f"\x1b[2m{text}\x1b[0m"
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), end="", flush=True)


def print_notice(text: str) -> None:
    """Print a message about the conversation to standard error."""
    print(replace_control_characters(text), file=sys.stderr, flush=True)
