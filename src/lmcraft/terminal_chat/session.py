"""A conversation at a terminal or through a pipe: its model, its settings, its file, and how answers are shown."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from lmcraft.energy.energy import NO_ENERGY
from lmcraft.energy.meter import measuring
from lmcraft.errors import UserError
from lmcraft.json_lines import format_json_line, read_json_lines
from lmcraft.terminal import print_notice, write_text
from lmcraft.terminal_chat.answer_view import AnswerView, HiddenView, PlainView, can_draw
from lmcraft.terminal_chat.kept import ChatFile, LoadedChat, read_chat
from lmcraft.terminal_chat.keyboard import Interruption, silent_typing
from lmcraft.terminal_chat.tree import AnswerChunk, Backend, Conversation, OnChunk


@dataclass(frozen=True)
class Choice:
    """The model that answers, and how."""

    model: str
    adapter: str | None
    settings: dict[str, Any]
    """Fields of `GenerationConfig`; the others are the model's."""


class View(Protocol):
    """Shows an answer while it is written."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def add(self, chunk: AnswerChunk) -> None:
        """Show the next piece."""


@dataclass(frozen=True)
class Manner:
    """How a session talks with its user."""

    is_interactive: bool = False
    """Whether a person types the messages."""
    as_json: bool = False
    """Print complete answers as lines of JSON."""
    is_plain: bool = False
    """Show answers as the model writes them."""
    keeps: bool = False
    """Keep conversations in the data folder."""

    def view(self, begun: str = "") -> View:
        """The view of an answer, of which an earlier part may have been shown."""
        if self.as_json:
            return HiddenView()
        if self.is_interactive and can_draw():
            return AnswerView(draws_markdown=not self.is_plain, begun=begun)
        return PlainView()


class ChatSession:
    """One conversation after the other, with the models and settings that the user chooses.

    Args:
        choice: the model.
        open_backend: opens a model; raises UserError if it cannot.
        system: the system prompt; None: that of `loaded`.
        loaded: a kept conversation to continue, and `file`: where it goes on.

    Raises:
        UserError, RunError: the model cannot be opened.
    """

    def __init__(
        self,
        choice: Choice,
        open_backend: Callable[[Choice], Backend],
        manner: Manner,
        *,
        system: str | None = None,
        loaded: LoadedChat | None = None,
        file: ChatFile | None = None,
    ) -> None:
        self.choice, self.manner = choice, manner
        self._open_backend = open_backend
        self._backend = open_backend(choice)
        self.file = file
        self.latest_energy = self.energy = NO_ENERGY
        """What the latest answer has drawn, and all answers of models in this process."""
        self.conversation = self._begin(system or "") if loaded is None else self._resume(loaded)
        if loaded is not None and system is not None:
            self.conversation.system = system

    def answer(self, ask: Callable[[OnChunk], None], begun: str = "") -> None:
        """Show the answer to a question while it is written, and what ended it.

        Args:
            ask: calls its argument with each piece of the answer.
            begun: an earlier part of the answer, which goes on.

        Raises:
            UserError, RunError: there is no answer.
            KeyboardInterrupt: it was interrupted, and nobody sees what was kept of it.
        """
        conversation, finished = self.conversation, False
        with ExitStack() as stack:
            view = stack.enter_context(self.manner.view(begun))
            if self.manner.is_interactive:
                stack.enter_context(silent_typing())
                conversation.wait = stack.enter_context(Interruption()).wait
            try:
                with self._measuring():
                    ask(view.add)
                finished = True
            except UserError as error:
                if self.manner.as_json:  # one line of output for each line of input
                    write_text(format_json_line({"error": {"message": str(error)}}))
                raise
            except KeyboardInterrupt:
                if not self.manner.is_interactive:
                    raise
        last = conversation.last
        if self.manner.as_json and last is not None and not conversation.draft:
            message = {"role": last.role, "content": last.content, "finish_reason": last.finish_reason, "usage": last.usage}
            write_text(format_json_line(message))
        elif self.manner.is_interactive:
            self._explain_end(finished)

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        """Count the energy of an answer, also of one that is stopped."""
        with measuring() as measured:
            try:
                yield
            finally:
                measured.finish()
                self.latest_energy = NO_ENERGY if self._backend.is_remote else measured.energy
                self.energy += self.latest_energy

    def _explain_end(self, finished: bool) -> None:
        last = self.conversation.last
        if not finished:
            print_notice("[Stopped before the first word]" if self.conversation.draft else "[Stopped: /continue goes on]")
        elif last is not None and last.finish_reason == "length":
            limit = self._backend.max_new_tokens
            count = (last.usage or {}).get("completion_tokens", 0)
            if limit and count >= limit:
                print_notice(
                    f"[Stopped at the limit of {limit} tokens: /continue goes on, /set max-new-tokens N changes it]"
                )
            else:
                print_notice(
                    f"[Stopped after {count} tokens, for which the model's context had room: /continue forgets the oldest "
                    "turns and goes on]"
                )

    def start_new(self) -> None:
        """Begin a new conversation with the same model, settings and system prompt."""
        self._change_file(None)
        self.conversation = self._begin(self.conversation.system)

    def load(self, path: Path) -> None:
        """Continue a kept conversation, with the present model.

        Raises:
            UserError: its file is damaged, or open elsewhere.
        """
        if self.file is not None and self.file.path == path:
            raise UserError(f"the conversation {path.stem} is this one")
        file = ChatFile(path)  # before it is read, since another program may write
        loaded = read_chat(path)
        self._change_file(file)
        self.conversation = self._resume(loaded)
        model = loaded.state.get("model")
        if model not in (None, self.choice.model):
            print_notice(f"Its last model was {model}: /model {model} opens it.")
        self._record_choice()

    def load_saved(self, path: Path) -> None:
        """Begin a new conversation with the last one that /save wrote to a file.

        Raises:
            UserError: the file has none.
        """
        try:
            rows = list(read_json_lines(path, messages=list))
            messages = [
                (message["role"], message["content"], message.get("reasoning_content") or "")
                for message in rows[-1]["messages"]
            ]
        except (OSError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"'{path}' has no conversation as /save writes them: choose another file") from error
        system = messages.pop(0)[1] if messages and messages[0][0] == "system" else ""
        roles = [role for role, _, _ in messages]
        is_text = all(isinstance(part, str) for message in messages for part in message) and isinstance(system, str)
        if not (roles and is_text and roles == ["user", "assistant"] * (len(roles) // 2)):
            raise UserError(f"the last line of '{path}' is no conversation of questions and answers: choose another file")
        self._change_file(None)
        self.conversation = self._begin(system)
        for (_, question, _), (_, answer, thoughts) in zip(messages[::2], messages[1::2], strict=True):
            self.conversation.append(question, answer, thoughts)

    def switch_model(self, address: str) -> None:
        """Go on with another model; the present one stays if it cannot be opened.

        Args:
            address: as on the command line, or #NAME for another model of the same server.

        Raises:
            UserError, RunError: it cannot be opened.
        """
        base = self.choice.model.partition("#")[0] if address.startswith("#") else ""
        choice = replace(self.choice, model=base + address, adapter=None)
        self._backend = self.conversation.backend = self._open_backend(choice)
        self.choice = choice
        self._record_choice()

    def change_settings(self, settings: dict[str, Any]) -> None:
        """Go on with these settings.

        Raises:
            UserError: one does not apply or is out of bounds; nothing changed.
        """
        self._backend.use(settings)
        self.choice = replace(self.choice, settings=settings)
        self._record_choice()

    def close(self) -> None:
        """Let others open the conversation."""
        if self.file is not None:
            self.file.close()

    def _begin(self, system: str) -> Conversation:
        if self.file is None and self.manner.keeps:
            self.file = ChatFile()
        record = (lambda row: None) if self.file is None else self.file.add
        conversation = Conversation(self._backend, record=record)
        conversation.system = system
        self._record_choice()
        return conversation

    def _resume(self, loaded: LoadedChat) -> Conversation:
        assert self.file is not None
        return loaded.resume(self._backend, self.file)

    def _change_file(self, file: ChatFile | None) -> None:
        self.close()
        self.file = file

    def _record_choice(self) -> None:
        if self.file is not None:
            choice = self.choice
            self.file.add({"model": choice.model, "adapter": choice.adapter, "settings": choice.settings})


def explain_rest(conversation: Conversation) -> None:
    """Say what to do with an answer that an error cut off; a question without an answer is the draft of the next one."""
    if not conversation.draft and conversation.last is not None and conversation.last.finish_reason is None:
        print_notice("[What came of the answer is kept: /continue goes on]")


def show_last_turn(conversation: Conversation, view: AbstractContextManager[View]) -> None:
    """Show where a conversation that is continued has got to."""
    last = conversation.last
    if last is None or last.parent is None:
        return
    turns = len(last.path()) // 2
    earlier = f"[{turns - 1} earlier turn{'s' * (turns > 2)}]\n" if turns > 1 else ""
    print_notice(f"{earlier}> {last.parent.content}")
    with view as shown:
        shown.add(AnswerChunk(last.content))
    if last.is_unfinished:
        print_notice("[This answer is not finished: /continue goes on, /regenerate answers again]")
