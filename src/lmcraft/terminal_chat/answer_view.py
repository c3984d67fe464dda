"""An answer as it appears on a terminal: a sign while the user waits, thoughts dim, and the text drawn as Markdown."""

import os
import sys
from collections.abc import Callable
from time import monotonic, thread_time
from types import TracebackType
from typing import NamedTuple, Self

from rich.console import Console, RenderableType
from rich.status import Status
from rich.text import Text

from lmcraft.terminal import escape_control_characters, format_duration, write_text
from lmcraft.terminal_chat.growing_lines import GrowingLines, allow_line_breaks, without_padding
from lmcraft.terminal_chat.tree import AnswerChunk

MIN_SECONDS_BETWEEN_DRAWINGS = 0.03
MAX_SHARE_OF_DRAWING = 0.2  # of the time, since the model runs in the same process
MAX_DRAWING_SECONDS = 1.0  # of processor time; a text that takes longer, such as thousands of brackets, is no longer parsed


class Form(NamedTuple):
    """How a growing text is drawn."""

    render: Callable[[str], RenderableType]
    last_block_start: Callable[[str], int]
    """The position from which on more text can change how it is drawn."""
    blank_lines: int
    """Between two blocks."""


PLAIN = Form(lambda text: Text(allow_line_breaks(text)), lambda text: text.rfind("\n") + 1, 0)
THOUGHTS = Form(lambda text: Text(allow_line_breaks(text), style="dim"), PLAIN.last_block_start, 0)


def markdown_form() -> Form:
    """Markdown drawn; what draws it is imported with the first answer."""
    from lmcraft.terminal_chat.markdown import ChatMarkdown, last_block_start

    return Form(ChatMarkdown, last_block_start, 1)


class AnswerView:
    """Shows one answer on the terminal; use it in a `with` statement around the answer.

    Args:
        draws_markdown: draw Markdown, instead of showing the text as the model writes it.
        begun: an earlier part of the answer, whose last block, such as code, goes on.
    """

    def __init__(self, *, draws_markdown: bool, begun: str = "") -> None:
        from lmcraft.terminal_chat.markdown import THEME

        self._console = Console(highlight=False, markup=False, emoji=False, theme=THEME)
        self._draws_markdown, self._begun = draws_markdown, begun
        self._waiting: Status | None = None
        self._text: _GrowingText | None = None
        self._thinking_since: float | None = None

    def __enter__(self) -> Self:
        spinner = "dots" if self._console.encoding.startswith("utf") else "line"  # the second is of ASCII characters
        self._waiting = self._console.status(Text("Ctrl-C stops", style="dim"), spinner=spinner)
        self._waiting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end_waiting()
        if self._text is not None:
            self._text.end()
        write_text("\n")

    def add(self, chunk: AnswerChunk) -> None:
        """Show the next piece."""
        if chunk.thoughts:
            if self._text is None:
                self._begin(THOUGHTS)
                self._thinking_since = monotonic()
            self._grow(chunk.thoughts)
        if self._thinking_since is not None and chunk.text:
            self._end_thoughts(monotonic() - self._thinking_since)
        if chunk.text and (self._text is not None or self._begun or chunk.text.strip()):
            if self._text is None:
                self._begin(markdown_form() if self._draws_markdown else PLAIN, self._begun)
            self._grow(chunk.text)

    def _begin(self, form: Form, begun: str = "") -> None:
        self._end_waiting()
        self._text = _GrowingText(self._console, form)
        self._grow(begun[form.last_block_start(begun) :])

    def _grow(self, text: str) -> None:
        assert self._text is not None
        self._text.add(text)

    def _end_thoughts(self, seconds: float) -> None:
        assert self._text is not None
        self._text.end()
        self._console.print(Text(f"Thought for {format_duration(seconds)}", style="dim italic"), end="\n\n")
        self._text, self._thinking_since = None, None

    def _end_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None


class _GrowingText:
    """A text at the end of the screen that is drawn as it grows."""

    def __init__(self, console: Console, form: Form) -> None:
        self._console, self._form = console, form
        self._lines = GrowingLines(console)
        self._pending = ""
        """What is drawn again: the text from the last block on."""
        self._next_drawing = 0.0

    def add(self, text: str) -> None:
        self._pending += text
        if monotonic() < self._next_drawing:
            return
        start, thread_start = monotonic(), thread_time()
        self._draw()
        end = monotonic()
        if thread_time() - thread_start > MAX_DRAWING_SECONDS:
            self._form = PLAIN
        self._next_drawing = end + max(MIN_SECONDS_BETWEEN_DRAWINGS, (end - start) / MAX_SHARE_OF_DRAWING)

    def end(self) -> None:
        """Draw all of it, and leave the cursor below it."""
        self._pending = self._pending.rstrip()
        self._draw()
        self._lines.end()

    def _draw(self) -> None:
        start = self._form.last_block_start(self._pending)
        kept, last = self._render(self._pending[:start]), self._render(self._pending[start:])
        if kept:
            kept += [""] * self._form.blank_lines
        self._lines.draw(kept + last)
        if kept and last:
            self._lines.keep(len(kept))
            self._pending = self._pending[start:]

    def _render(self, text: str) -> list[str]:
        """The lines of a text, one cell narrower than the terminal, on which the cursor would jump from the last cell."""
        if not text:
            return []
        with self._console.capture() as capture:
            renderable = self._form.render(escape_control_characters(text))
            self._console.print(renderable, width=max(1, self._console.width - 1), end="")
        lines = [without_padding(line) for line in capture.get().removesuffix("\n").split("\n")]
        if self._form.blank_lines:
            shown = [n for n, line in enumerate(lines) if line]
            lines = lines[shown[0] : shown[-1] + 1] if shown else []
        return lines


def can_draw() -> bool:
    """Whether standard output is a terminal on which the cursor can move."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class PlainView:
    """An answer as the model writes it, for pipes and for terminals on which the cursor cannot move."""

    def __init__(self) -> None:
        self._is_thinking = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        write_text("\n")

    def add(self, chunk: AnswerChunk) -> None:
        """Show the next piece."""
        if chunk.thoughts:
            write_text(chunk.thoughts, dim=True)
            self._is_thinking = True
        if chunk.text and self._is_thinking:
            write_text("\n\n")
            self._is_thinking = False
        write_text(chunk.text)


class HiddenView:
    """An answer that is printed when it is complete."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def add(self, chunk: AnswerChunk) -> None:
        """Show nothing."""
