"""A conversation as a tree of messages with one current branch, and the protocol of the backends that answer it."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import Literal, Protocol

from lmcraft.errors import LmcraftError, UserError
from lmcraft.json_lines import format_json_line
from lmcraft.setting_values import expand_user
from lmcraft.terminal import print_notice

ChatMessages = list[dict[str, str]]
"""Messages as models read them: {"role", "content"}, the system prompt first."""
OnText = Callable[[str], None]
"""Called with each piece of an answer's text."""


@dataclass(frozen=True)
class AnswerChunk:
    """A piece of an answer."""

    text: str
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    """`prompt_tokens` and `completion_tokens` so far."""


class TooLongError(UserError):
    """The conversation leaves too little of the model's context for an answer."""


class Backend(Protocol):
    """A model that answers, in this process or behind a server."""

    @property
    def context(self) -> int | None:
        """The maximum number of tokens of prompt and answer; None: unknown."""

    def stream(self, messages: ChatMessages, attempt: int) -> Generator[AnswerChunk, None, None]:
        """Answer the last message; `attempt` is added to the seed, if one is set.

        Raises:
            TooLongError: before the first chunk, if fewer messages might fit.
            UserError, RunError: there is no answer.
        """


@dataclass(eq=False)
class Message:
    """One message; messages with the same parent are branches."""

    role: Literal["user", "assistant"]
    content: str
    parent: "Message | None"
    dropped_turns: int = 0
    """Of a question: number of oldest turns before it that no longer fit into the context."""
    finish_reason: str | None = None
    """Of an answer; None: it was interrupted."""
    usage: dict[str, int] | None = None

    def path(self) -> "list[Message]":
        """All messages from the first to this one."""
        messages: list[Message] = []
        message: Message | None = self
        while message is not None:
            messages.append(message)
            message = message.parent
        return messages[::-1]


class Conversation:
    """All messages so far, the current branch, and the backend that answers."""

    def __init__(self, backend: Backend, system: str = "") -> None:
        self.system = system
        self.messages: list[Message] = []
        """Of all branches, oldest first; every question has an answer."""
        self.last: Message | None = None
        """The answer that the next question follows; None at the beginning."""
        self._backend = backend

    @property
    def branches(self) -> list[Message]:
        """The last answer of each branch, oldest first."""
        parents = {message.parent for message in self.messages}
        return [message for message in self.messages if message not in parents]

    def answer(self, text: str, on_text: OnText) -> None:
        """Ask `text` and stream the answer; an interrupted answer is kept up to that point.

        Raises:
            UserError: `text` alone is longer than the model's context.
            RunError: the server does not answer.
        """
        dropped_turns = self._question(self.last).dropped_turns if self.last is not None else 0
        self._answer(Message("user", text, self.last, dropped_turns), on_text)

    def regenerate(self, on_text: OnText) -> None:
        """Answer the last question again, in a new branch.

        Raises:
            UserError, RunError: as in `answer`, or there is no question yet.
        """
        if self.last is None:
            raise UserError("there is no answer yet to regenerate: ask something first")
        self._answer(self._question(self.last), on_text)

    def back(self) -> Message:
        """Return to the point before the last question, and return that question; it stays in the tree.

        Raises:
            UserError: there is none.
        """
        if self.last is None:
            raise UserError("there is nothing to take back: the conversation is at its beginning")
        question = self._question(self.last)
        self.last = question.parent
        return question

    def chat_messages(self, message: Message, dropped_turns: int = 0) -> ChatMessages:
        """The branch up to `message` as models read it, without its oldest turns."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return system + [{"role": m.role, "content": m.content} for m in message.path()[2 * dropped_turns :]]

    def save(self, path: Path) -> None:
        """Append the current branch to a file, as a line of JSON that `lmcraft finetune` reads.

        Raises:
            UserError: there is nothing to write, or the file cannot be written.
        """
        if self.last is None:
            raise UserError("there is nothing to save yet: ask something first")
        line = format_json_line({"messages": self.chat_messages(self.last)}).encode()
        try:
            with expand_user(path).open("a+b") as file:
                if file.seek(0, SEEK_END):  # the file may lack the newline at its end
                    file.seek(-1, SEEK_END)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)
        except (OSError, ValueError, RuntimeError) as error:  # NUL in the name; ~user of an unknown user
            raise UserError(f"'{path}' cannot be written ({error}): choose another file") from error

    def _answer(self, question: Message, on_text: OnText) -> None:
        answer = Message("assistant", "", question)
        attempt = sum(message.parent is question for message in self.messages)
        failed = False
        try:
            with closing(self._chunks(question, attempt)) as chunks:
                for chunk in chunks:
                    answer.content += chunk.text
                    answer.finish_reason = chunk.finish_reason or answer.finish_reason
                    answer.usage = chunk.usage or answer.usage
                    on_text(chunk.text)
        except LmcraftError:
            failed = True
            raise
        finally:
            if answer.content or not failed:
                self.messages += [answer] if attempt else [question, answer]
                self.last = answer

    def _chunks(self, question: Message, attempt: int) -> Generator[AnswerChunk, None, None]:
        """Stream the answer to `question`, dropping the oldest turns of its branch until the rest fits."""
        dropped_turns, turns = question.dropped_turns, len(question.path()) // 2
        while True:
            try:
                with closing(self._backend.stream(self.chat_messages(question, dropped_turns), attempt)) as chunks:
                    for chunk in chunks:
                        self._record_dropped(question, dropped_turns)
                        yield chunk
                return
            except TooLongError:
                if dropped_turns == turns:
                    raise
                dropped_turns += 1

    def _record_dropped(self, question: Message, dropped_turns: int) -> None:
        if (count := dropped_turns - question.dropped_turns) == 0:
            return
        question.dropped_turns = dropped_turns
        context = "" if self._backend.context is None else f" of {self._backend.context} tokens"
        print_notice(
            f"The conversation is too long for the model's context{context}: "
            f"its oldest {'turn is' if count == 1 else f'{count} turns are'} forgotten."
        )

    @staticmethod
    def _question(answer: Message) -> Message:
        assert answer.parent is not None
        return answer.parent
