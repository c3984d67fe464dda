"""A conversation as a tree of messages with one current branch, and the protocol of the backends that answer it."""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any, Literal, Protocol

from lmcraft.errors import UserError
from lmcraft.json_lines import format_json_line
from lmcraft.setting_values import expand_user
from lmcraft.terminal import print_notice

ChatMessages = list[dict[str, str]]
"""Messages as models read them: {"role", "content"}, the system prompt first; of an answer perhaps "reasoning_content"."""


@dataclass(frozen=True)
class AnswerChunk:
    """A piece of an answer."""

    text: str
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    """`prompt_tokens` and `completion_tokens` so far."""
    thoughts: str = ""
    """What the model thinks before its answer."""


OnChunk = Callable[[AnswerChunk], object]
"""Called with each piece of an answer."""
Record = Callable[[Mapping[str, Any]], object]
"""Called with each change of a conversation, a row of JSON (`kept`)."""


class TooLongError(UserError):
    """The conversation leaves too little of the model's context for an answer."""


class Backend(Protocol):
    """A model that answers, in this process or behind a server."""

    @property
    def name(self) -> str:
        """The model's name, as the user writes it."""

    @property
    def is_remote(self) -> bool:
        """Whether another process computes the answers."""

    @property
    def context(self) -> int | None:
        """The maximum number of tokens of prompt and answer; None: unknown."""

    @property
    def max_new_tokens(self) -> int:
        """The limit of an answer that the user set; 0: the context alone limits it."""

    def use(self, settings: Mapping[str, Any]) -> None:
        """Answer with these settings from now on: fields of `GenerationConfig`; the others are the model's.

        Raises:
            UserError: a setting does not exist or does not apply, or its value is impossible; nothing changed.
        """

    def stream(self, messages: ChatMessages, attempt: int) -> Generator[AnswerChunk, None, None]:
        """Answer the last message, or continue it if it is an answer; `attempt` is added to the seed, if one is set.

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
    thoughts: str = ""
    """Of an answer: what the model thought before it."""
    dropped_turns: int = 0
    """Of a question: number of oldest turns before it that no longer fit into the context."""
    finish_reason: str | None = None
    """Of an answer; None: it was interrupted."""
    usage: dict[str, int] | None = None

    @property
    def is_unfinished(self) -> bool:
        """Whether an answer was interrupted or reached its limit."""
        return self.finish_reason in (None, "length")

    def as_model_reads_it(self) -> dict[str, str]:
        """Role and content, and the thoughts, which many templates leave out of the prompt."""
        thoughts = {"reasoning_content": self.thoughts} if self.thoughts else {}
        return {"role": self.role, "content": self.content, **thoughts}

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

    def __init__(self, backend: Backend, system: str = "", record: Record = lambda row: None) -> None:
        self.backend = backend
        self.wait: Callable[[], AbstractContextManager[None]] = nullcontext
        """Surrounds each wait for a piece of an answer."""
        self.messages: list[Message] = []
        """Of all branches, oldest first; every question has an answer."""
        self.draft = ""
        """The last question, if it got no answer at all; it is not among the messages."""
        self._system, self._record = system, record
        self._last: Message | None = None
        self._ids: dict[Message, int] = {}

    @property
    def system(self) -> str:
        """The system prompt; empty: none."""
        return self._system

    @system.setter
    def system(self, text: str) -> None:
        self._system = text
        self._record({"system": text})

    @property
    def last(self) -> Message | None:
        """The answer that the next question follows; None at the beginning."""
        return self._last

    @last.setter
    def last(self, message: Message | None) -> None:
        self._last = message
        self._record({"last": message and self._ids[message]})

    @classmethod
    def restored(
        cls, backend: Backend, system: str, messages: Mapping[int, Message], last: Message | None, record: Record
    ) -> "Conversation":
        """A conversation with the messages that `record` got, by their ids; questions without an answer are left out."""
        conversation = cls(backend, system, record)
        conversation._ids = {message: number for number, message in messages.items()}
        answered = {message.parent for message in messages.values()}
        conversation.messages = [m for m in messages.values() if m.role == "assistant" or m in answered]
        conversation._last = last
        latest = list(messages.values())[-1:]
        conversation.draft = "".join(message.content for message in latest if message not in conversation.messages)
        return conversation

    @property
    def branches(self) -> list[Message]:
        """The last answer of each branch, oldest first."""
        parents = {message.parent for message in self.messages}
        return [message for message in self.messages if message not in parents]

    def answer(self, text: str, on_chunk: OnChunk) -> None:
        """Ask `text` and stream the answer; an interrupted answer is kept up to that point.

        Raises:
            UserError: `text` alone is longer than the model's context.
            RunError: the server does not answer.
        """
        dropped_turns = self._question(self.last).dropped_turns if self.last is not None else 0
        question = Message("user", text, self.last, dropped_turns=dropped_turns)
        self._record(self._row(question, text=text, dropped_turns=dropped_turns))
        self._answer(question, Message("assistant", "", question), on_chunk)

    def regenerate(self, on_chunk: OnChunk) -> None:
        """Answer the last question again, in a new branch.

        Raises:
            UserError, RunError: as in `answer`, or there is no question yet.
        """
        if self.last is None:
            raise UserError("there is no answer yet to regenerate: ask something first")
        question = self._question(self.last)
        self._answer(question, Message("assistant", "", question), on_chunk)

    def continue_answer(self, on_chunk: OnChunk) -> None:
        """Go on with the last answer, which was interrupted or reached its limit.

        Raises:
            UserError, RunError: as in `answer`, or there is no such answer.
        """
        if self.last is None or not self.last.is_unfinished:
            raise UserError("there is no unfinished answer to continue: ask something, or /regenerate")
        if not (self.last.content.strip() or self.last.thoughts):
            raise UserError("the answer has no text to continue yet: /regenerate answers again")
        self._answer(self._question(self.last), self.last, on_chunk)

    def append(self, question: str, answer: str, thoughts: str = "") -> None:
        """Add a turn that is complete, as from a file."""
        user_message = Message("user", question, self.last)
        self._record(self._row(user_message, text=question))
        assistant_message = Message("assistant", answer, user_message, thoughts, finish_reason="stop")
        self._record(self._row(assistant_message, text=answer, thoughts=thoughts))
        self._keep(user_message, assistant_message)

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
        return system + [m.as_model_reads_it() for m in message.path()[2 * dropped_turns :]]

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

    def _answer(self, question: Message, answer: Message, on_chunk: OnChunk) -> None:
        attempt = sum(message.parent is question and message is not answer for message in self.messages)
        self.draft = question.content
        answer.finish_reason = None
        try:
            with closing(self._chunks(question, answer, attempt)) as chunks:
                while (chunk := self._next(chunks)) is not None:
                    answer.content += chunk.text
                    answer.thoughts += chunk.thoughts
                    answer.finish_reason = chunk.finish_reason or answer.finish_reason
                    answer.usage = chunk.usage or answer.usage
                    if chunk.text or chunk.thoughts:
                        self._record(self._row(answer, text=chunk.text, thoughts=chunk.thoughts))
                    on_chunk(chunk)
        finally:
            if answer.content or answer.thoughts or answer.finish_reason:
                self._keep(question, answer)

    def _next(self, chunks: Generator[AnswerChunk, None, None]) -> AnswerChunk | None:
        with self.wait():
            return next(chunks, None)

    def _keep(self, question: Message, answer: Message) -> None:
        self.draft = ""
        self.messages += [message for message in (question, answer) if message not in self.messages]
        self._record(self._row(answer, finish_reason=answer.finish_reason, usage=answer.usage))
        self.last = answer

    def _row(self, message: Message, **changes: Any) -> dict[str, Any]:
        """A change of a message as `kept` keeps it: with the message's role and parent, the first time."""
        position = {}
        if message not in self._ids:
            position = {"role": message.role, "parent": message.parent and self._ids[message.parent]}
            self._ids[message] = max(self._ids.values(), default=-1) + 1
        return {"id": self._ids[message], **position, **{name: value for name, value in changes.items() if value}}

    def _chunks(self, question: Message, answer: Message, attempt: int) -> Generator[AnswerChunk, None, None]:
        """Stream the answer to `question`, or go on with it, dropping the oldest turns of its branch until the rest fits."""
        dropped_turns, turns = question.dropped_turns, len(question.path()) // 2
        last = answer if answer.content or answer.thoughts else question
        while True:
            try:
                with closing(self.backend.stream(self.chat_messages(last, dropped_turns), attempt)) as chunks:
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
        self._record(self._row(question, dropped_turns=dropped_turns))
        context = "" if self.backend.context is None else f" of {self.backend.context} tokens"
        print_notice(
            f"The conversation is too long for the model's context{context}: "
            f"its oldest {'turn is' if count == 1 else f'{count} turns are'} forgotten."
        )

    @staticmethod
    def _question(answer: Message) -> Message:
        assert answer.parent is not None
        return answer.parent
