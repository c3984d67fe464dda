"""`lmcraft chat`: talk with a model in the terminal."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path

from lmcraft.config import command_config
from lmcraft.conversation.remote import SETTINGS, RemoteBackend, is_remote
from lmcraft.conversation.tree import Backend, Conversation, Message, Say
from lmcraft.errors import RunError, UserError
from lmcraft.generation_flags import ConversationFlags, load_model
from lmcraft.text_output import print_notice, write_text

HELP = """\
/regenerate   another answer to the last message; the one before stays a branch
/back         take the last message back, to say another; it stays a branch
/branch N     go to branch N; without N, list the branches
/save FILE    append this branch to a JSONL file, which lmcraft finetune reads
/system TEXT  tell the model who it is; without TEXT, take that back
/reset        begin a new conversation
/quit         leave (Ctrl-D does, too; Ctrl-C stops an answer)
/help         this list"""
FIRST_WORDS = 36  # characters of a message in the list of branches


@command_config
@dataclass(frozen=True)
class ChatConfig(ConversationFlags):
    """Talk with a model; /help in the conversation lists what it obeys. Without a terminal, each line is answered."""

    model: str
    """Model folder, GGUF file, address (hf:owner/name), or a running server's http://HOST:PORT, with #NAME for a model
    other than its first; the server's key, if any, is in LMCRAFT_API_KEY."""

    _: KW_ONLY

    system: str = ""
    """What the model is told before the conversation."""
    adapter: str | None = None
    """Folder or address of an adapter (LoRA or DoRA in PEFT's format) of this model, kept beside its weights."""
    json: bool = False
    """Write each answer as a line of JSON, with the reason for its end and the count of tokens, when it is complete."""

    def resolved(self) -> "ChatConfig":
        self.check_settings()
        if is_remote(self.model):
            self._check_remote()
        return self

    def _check_remote(self) -> None:
        """Raise UserError for a setting that is of no use with a server."""
        known = {"model", "system", "json", *SETTINGS}
        for f in fields(self):
            if f.name not in known and getattr(self, f.name) != f.default:
                base = self.model.partition("#")[0]
                remedy = f"name it as the model, {base}#NAME" if f.name == "adapter" else "leave it out"
                raise UserError(f"--{f.name.replace('_', '-')} is nothing that a server can be asked for: {remedy}")


def chat(config: ChatConfig) -> None:
    """Answer each line of standard input, on standard output; notices go to standard error.

    Raises:
        UserError: there is no such model, or a setting does not fit.
        RunError: the server does not answer; in a terminal, that is a notice, once the conversation has begun.
    """
    config = config.resolved()
    interactive = sys.stdin.isatty()
    session = _Session(Conversation(_open(config, interactive), config.system), interactive, config.json)
    if interactive:
        _enable_line_editing()
        print_notice("/help lists the commands.")
    while True:
        try:
            line = input("> " if interactive and not config.json else "").strip()
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise UserError(f"a line on standard input is not {error.encoding} text: convert it first") from error
        if line == "/quit":
            return
        if line:
            session.take(line)


def _open(config: ChatConfig, interactive: bool) -> Backend:
    if is_remote(config.model):
        remote = RemoteBackend(config.model, config.settings())
        if interactive:
            print_notice(f"{remote.name} answers.")
        return remote
    from lmcraft.conversation.local import LocalBackend

    adapters = {} if config.adapter is None else {config.adapter: config.adapter}
    model = load_model(config.model, config, adapters)
    if model.tokenizer.chat_template is None:
        print_notice("This model has no chat template, so it continues the conversation as plain text.")
    return LocalBackend(model, config.settings(), adapter=config.adapter or "")


@dataclass(frozen=True)
class _Session:
    """What is typed, and what comes of it."""

    conversation: Conversation
    interactive: bool
    as_json: bool

    def take(self, line: str) -> None:
        """Obey a command, or answer."""
        try:
            if line.startswith("/"):
                self._obey(*line.split(maxsplit=1))
            else:
                self._show(lambda say: self.conversation.answer(line, say))
        except UserError as error:
            print_notice(str(error))
        except RunError as error:
            if not self.interactive:  # a script shall learn of it
                raise
            print_notice(str(error))

    def _obey(self, command: str, argument: str = "") -> None:
        conversation = self.conversation
        if command == "/regenerate":
            self._show(conversation.regenerate)
        elif command == "/back":
            print_notice(f"Taken back, and kept as a branch: {_first_words(conversation.back())}")
        elif command == "/branch":
            self._branch(argument)
        elif command == "/save":
            if not argument:
                raise UserError("/save needs the name of a file: /save FILE")
            conversation.save(Path(argument))
            print_notice(f"This branch is appended to {argument}.")
        elif command == "/reset":
            conversation.messages.clear()
            conversation.last = None
            print_notice("A new conversation begins.")
        elif command == "/system":
            conversation.system = argument
        elif command == "/help":
            print_notice(HELP)
        else:
            print_notice(f"There is no command {command}: /help lists those there are.")

    def _branch(self, number: str) -> None:
        """List the branches, or go to one."""
        conversation, branches = self.conversation, self.conversation.branches
        if not branches:
            raise UserError("there are no branches yet: ask something first")
        if number:
            known = [str(n) for n in range(1, len(branches) + 1)]
            if number not in known:
                raise UserError(f"there is no branch {number}: /branch lists those there are")
            conversation.last = branches[known.index(number)]
        for n, last in enumerate(branches, start=1):
            if not number or last is conversation.last:
                assert last.parent is not None
                here = "*" if last is conversation.last else " "
                print_notice(f"{here} {n}  {_first_words(last.parent)} -> {_first_words(last)}")

    def _show(self, answer: Callable[[Say], None]) -> None:
        try:
            answer((lambda piece: None) if self.as_json else write_text)
        except UserError as error:
            if self.as_json:  # so that each line that is asked has one that answers
                write_text(json.dumps({"error": {"message": str(error)}}, ensure_ascii=False) + "\n")
            raise
        except KeyboardInterrupt:
            if not self.interactive:
                raise
        finally:
            if not self.as_json:
                write_text("\n")
        if self.as_json and (last := self.conversation.last) is not None:
            said = {"role": last.role, "content": last.content, "finish_reason": last.finish_reason, "usage": last.usage}
            write_text(json.dumps(said, ensure_ascii=False) + "\n")


def _first_words(message: Message) -> str:
    text = " ".join(message.content.split())
    return text if len(text) <= FIRST_WORDS else text[:FIRST_WORDS] + "..."


def _enable_line_editing() -> None:
    with suppress(ImportError):  # some builds of Python have none; then the terminal's own editing must do
        import readline  # noqa: F401 - importing it gives `input` its editing and history
