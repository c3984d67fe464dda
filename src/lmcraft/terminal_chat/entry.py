"""The line, or the lines, that the user types at a terminal."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import has_selection, is_done
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.processors import TabsProcessor
from prompt_toolkit.output import Output
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.styles import Style

QUOTES = '"""'
"""Around a message of several lines, or one that begins with a slash."""
LEAVE_HINT = "Ctrl-C again or Ctrl-D leaves"
PLACEHOLDER = "Send a message (/help for help)"
STYLE = Style.from_dict({"bottom-toolbar": "noreverse ansibrightblack", "placeholder": "ansibrightblack"})


class Entry:
    """Reads messages and commands from the terminal.

    Enter sends. Alt-Enter begins a new line, and so does Enter after three quotes that none have closed. Pasted
    lines stay one message. Ctrl-C clears what is typed, and leaves if it is pressed twice in a row.

    Args:
        completions: commands and their arguments, which Tab completes.
        history: file that keeps what was typed; None: nothing is kept.
        source: of the keys, and `screen`: what is drawn on; None: the terminal.
    """

    def __init__(
        self,
        completions: Sequence[str] = (),
        history: Path | None = None,
        *,
        source: Input | None = None,
        screen: Output | None = None,
    ) -> None:
        self._is_leaving = False
        self._session: PromptSession[str] = PromptSession(
            FormattedText([("bold", "> ")]),
            multiline=True,
            prompt_continuation="  ",
            placeholder=lambda: FormattedText([("class:placeholder", "" if get_app().is_done else PLACEHOLDER)]),
            bottom_toolbar=lambda: LEAVE_HINT if self._is_leaving else None,
            key_bindings=self._key_bindings(),
            completer=_CommandCompleter(completions),
            history=_open_history(history),
            style=STYLE,
            input_processors=[TabsProcessor()],
            enable_suspend=True,
            enable_open_in_editor=True,
            input=source,
            # Where standard output is a file, the line is on standard error.
            output=screen or create_output(stdout=sys.stdout if sys.stdout.isatty() else sys.stderr),
        )
        self._session.default_buffer.on_text_changed += self._stay

    def read(self, draft: str = "") -> str | None:
        """What the user typed, without white space around it; None: the user leaves.

        Args:
            draft: is there to be edited or sent.
        """
        self._is_leaving = False
        try:
            text = self._session.prompt(default=draft)
        except (EOFError, KeyboardInterrupt):
            return None
        return text.encode("utf-8", "replace").decode().strip()  # bytes that are not UTF-8 are surrogates

    def _stay(self, buffer: Buffer) -> None:
        self._is_leaving = False

    def _key_bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        @bindings.add("enter", filter=~has_selection & ~is_done)
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if is_open(buffer.text):
                buffer.newline(copy_margin=False)
            else:
                buffer.validate_and_handle()

        @bindings.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.newline(copy_margin=False)

        @bindings.add("c-c")
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if self._is_leaving:
                event.app.exit(exception=EOFError())
                return
            buffer.reset(append_to_history=True)  # arrow up brings it back
            self._is_leaving = True

        return bindings


def is_open(text: str) -> bool:
    """Whether a message began with three quotes, and no three quotes have ended it."""
    stripped = text.strip()
    return stripped.startswith(QUOTES) and not (stripped.endswith(QUOTES) and len(stripped) >= 2 * len(QUOTES))


def unquoted(text: str) -> str | None:
    """The message between three quotes; None if there are none."""
    if not text.startswith(QUOTES) or is_open(text):
        return None
    return text.removeprefix(QUOTES).removesuffix(QUOTES).strip("\n")


class _CommandCompleter(Completer):
    """Completes commands, and the names after them."""

    def __init__(self, completions: Sequence[str]) -> None:
        self._completions = completions

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        start = text.rfind(" ") + 1
        for word in _next_words(self._completions, text):
            yield Completion(word, start_position=start - len(text))


def _next_words(completions: Iterable[str], text: str) -> list[str]:
    """The words that can stand at the end of a text."""
    depth = text.count(" ")
    words = (line.split(" ")[depth] for line in completions if line.startswith(text) and line.count(" ") >= depth)
    return list(dict.fromkeys(words))


def _open_history(file: Path | None) -> History:
    """The lines that were typed before, in a file that only the user can read; in memory alone if it cannot be written."""
    if file is None:
        return InMemoryHistory()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(file))
