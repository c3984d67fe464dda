"""A conversation as a tree of messages, of which one branch is current, and what answers in it."""

import json
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import Literal, Protocol

from lmcraft.errors import LmcraftError, UserError
from lmcraft.text_output import print_notice

Spoken = list[dict[str, str]]
"""What is said to a model: {"role", "content"}, the system's first."""
Say = Callable[[str], None]
"""Takes an answer, piece by piece."""


@dataclass(frozen=True)
class Piece:
    """A part of an answer."""

    text: str
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    """`prompt_tokens` and `completion_tokens` so far."""


class TooLongError(UserError):
    """The conversation leaves too little of the model's context to an answer."""


class Backend(Protocol):
    """A model, here or at a server."""

    @property
    def context(self) -> int | None:
        """The most tokens of prompt and answer; None: not known."""

    def stream(self, messages: Spoken, draw: int) -> Generator[Piece, None, None]:
        """The answer to the last message; a seed that was given is moved on by `draw`.

        Raises:
            TooLongError: before the first piece, where fewer messages may fit.
            UserError, RunError: there is no answer.
        """


@dataclass(eq=False)
class Message:
    """One message; those with the same parent are branches."""

    role: Literal["user", "assistant"]
    content: str
    parent: "Message | None"
    forgotten: int = 0
    """A question's: the turns before it that no longer fit the context, oldest first."""
    finish_reason: str | None = None
    """An answer's; None: it was interrupted."""
    usage: dict[str, int] | None = None

    def path(self) -> "list[Message]":
        """All messages from the first to this one."""
        found: list[Message] = []
        message: Message | None = self
        while message is not None:
            found.append(message)
            message = message.parent
        return found[::-1]


class Conversation:
    """Messages so far, and what the model answers."""

    def __init__(self, backend: Backend, system: str = "") -> None:
        self.system = system
        self.messages: list[Message] = []
        """Those of all branches, oldest first; each question has an answer."""
        self.last: Message | None = None
        """The answer that the next question follows; None: it is the first."""
        self._backend = backend

    @property
    def branches(self) -> list[Message]:
        """The last answer of each branch, oldest first."""
        parents = {message.parent for message in self.messages}
        return [message for message in self.messages if message not in parents]

    def answer(self, text: str, say: Say) -> None:
        """Answer `text`, piece by piece; what is said when it breaks off is remembered as the answer.

        Raises:
            UserError: `text` alone is longer than the model's context.
            RunError: the server does not answer.
        """
        forgotten = self._question(self.last).forgotten if self.last is not None else 0
        self._answer(Message("user", text, self.last, forgotten), say)

    def regenerate(self, say: Say) -> None:
        """Answer the last question once more, with another draw: a new branch.

        Raises:
            UserError, RunError: as in `answer`, or there is no question yet.
        """
        if self.last is None:
            raise UserError("there is no answer yet to find again: ask something first")
        self._answer(self._question(self.last), say)

    def back(self) -> Message:
        """Go to where the last question was asked; it is returned, and stays a branch.

        Raises:
            UserError: there is none.
        """
        if self.last is None:
            raise UserError("there is nothing to take back: the conversation is at its beginning")
        question = self._question(self.last)
        self.last = question.parent
        return question

    def spoken(self, message: Message, forgotten: int = 0) -> Spoken:
        """The branch up to `message` as a model is told it, without its oldest turns."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return system + [{"role": one.role, "content": one.content} for one in message.path()[2 * forgotten :]]

    def save(self, path: Path) -> None:
        """Append the current branch, a line of JSON that `lmcraft finetune` reads.

        Raises:
            UserError: there is nothing to write, or the file cannot be written.
        """
        if self.last is None:
            raise UserError("there is nothing to save yet: ask something first")
        line = json.dumps({"messages": self.spoken(self.last)}, ensure_ascii=False).encode("utf-8", "replace")
        try:
            with path.expanduser().open("a+b") as file:
                if file.seek(0, SEEK_END):  # a line that another program left without its end stays a line
                    file.seek(-1, SEEK_END)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line + b"\n")
        except (OSError, ValueError, RuntimeError) as error:  # a name may hold a NUL or a home that is nobody's
            raise UserError(f"'{path}' cannot be written ({error}): choose another file") from error

    def _answer(self, question: Message, say: Say) -> None:
        answer = Message("assistant", "", question)
        draw = sum(message.parent is question for message in self.messages)
        failed = False
        try:
            with closing(self._pieces(question, draw)) as pieces:
                for piece in pieces:
                    answer.content += piece.text
                    answer.finish_reason = piece.finish_reason or answer.finish_reason
                    answer.usage = piece.usage or answer.usage
                    say(piece.text)
        except LmcraftError:
            failed = True
            raise
        finally:
            if answer.content or not failed:
                self.messages += [answer] if draw else [question, answer]
                self.last = answer

    def _pieces(self, question: Message, draw: int) -> Generator[Piece, None, None]:
        """The answer to the branch up to `question`, without its oldest turns where it grows too long."""
        forgotten, turns = question.forgotten, len(question.path()) // 2
        while True:
            try:
                with closing(self._backend.stream(self.spoken(question, forgotten), draw)) as pieces:
                    for piece in pieces:
                        self._forget(question, forgotten)
                        yield piece
                return
            except TooLongError:
                if forgotten == turns:
                    raise
                forgotten += 1

    def _forget(self, question: Message, forgotten: int) -> None:
        if (more := forgotten - question.forgotten) == 0:
            return
        question.forgotten = forgotten
        context = "" if self._backend.context is None else f" of {self._backend.context} tokens"
        print_notice(
            f"The conversation is too long for the model's context{context}: "
            f"its oldest {'turn is' if more == 1 else f'{more} turns are'} forgotten."
        )

    @staticmethod
    def _question(answer: Message) -> Message:
        assert answer.parent is not None
        return answer.parent
