"""`lmcraft chat`: a conversation with a model in the terminal."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path

from lmcraft.config import command_config, takes_settings
from lmcraft.errors import RunError, UserError
from lmcraft.generation_flags import ConversationFlags, load_model
from lmcraft.inference.generation_settings import SETTINGS
from lmcraft.json_lines import format_json_line
from lmcraft.standard_streams import check_decoded, undecoded_error
from lmcraft.terminal import print_notice, write_text
from lmcraft.terminal_chat.remote import RemoteBackend, is_remote
from lmcraft.terminal_chat.tree import Backend, Conversation, Message, OnText

HELP = """\
/regenerate   answer the last message again; the previous answer stays as a branch
/back         take the last message back; it stays as a branch
/branch N     switch to branch N; without N, list the branches
/save FILE    append this branch to a JSONL file that lmcraft finetune reads
/system TEXT  set the system prompt; without TEXT, remove it
/reset        start a new conversation
/quit         quit (or Ctrl-D; Ctrl-C stops an answer)
/help         show this list"""
MAX_SUMMARY_CHARACTERS = 36  # of a message in the list of branches


@command_config
@dataclass(frozen=True)
class ChatConfig(ConversationFlags):
    """Chat with a model in the terminal; type /help for the commands. Without a terminal, answer each line of the input.

    Settings that are not given come from the model's generation_config.json. A model that has no sampling settings of its
    own gets temperature 0.8, top-p 0.95 and min-p 0.05.
    """

    model: str
    """Model folder, GGUF file, address (hf:owner/name), or the http://HOST:PORT of a running server, with #NAME to choose a
    model other than its first. A server's API key goes into the environment variable LMCRAFT_API_KEY."""

    _: KW_ONLY

    system: str = ""
    """System prompt."""
    adapter: str | None = None
    """Folder or address of a LoRA or DoRA adapter (PEFT format) for this model, applied without merging."""
    json: bool = False
    """Print each complete answer as one line of JSON, with its finish reason and token counts."""

    def resolved(self) -> "ChatConfig":
        self.check_settings()
        if is_remote(self.model):
            self._check_remote()
        return self

    def _check_remote(self) -> None:
        """Raise UserError for a setting that requests to a server do not have."""
        request_settings = {name for name, setting in SETTINGS.items() if setting.request_field}
        for f in fields(self):
            if f.name not in {"model", "system", "json", *request_settings} and getattr(self, f.name) != f.default:
                base = self.model.partition("#")[0]
                remedy = f"name it as the model, {base}#NAME" if f.name == "adapter" else "leave it out"
                raise UserError(f"--{f.name.replace('_', '-')} does not apply to a model behind a server: {remedy}")


@takes_settings(ChatConfig)
def chat(config: ChatConfig) -> None:
    """Answer each line of standard input on standard output; notices go to standard error.

    Raises:
        UserError: there is no such model, a setting is invalid, or, outside a terminal, a line failed.
        RunError: the server does not answer. In a terminal, once the conversation has started, this is only a notice.
    """
    config = config.resolved()
    interactive = sys.stdin.isatty()
    session = _Session(Conversation(_open_backend(config, interactive), config.system), interactive, config.json)
    if interactive:
        _enable_line_editing()
        print_notice("Type /help for the list of commands.")
    while True:
        try:
            line = input("> " if interactive and not config.json else "").strip()
        except EOFError:
            return session.check()
        except UnicodeDecodeError as error:
            raise undecoded_error("a line of standard input") from error
        check_decoded(line, "a line of standard input")
        if line == "/quit":
            return session.check()
        if line:
            session.handle_line(line)


def _open_backend(config: ChatConfig, interactive: bool) -> Backend:
    if is_remote(config.model):
        remote = RemoteBackend(config.model, config.settings())
        if interactive:
            print_notice(f"Connected to {remote.name}.")
        return remote
    from lmcraft.terminal_chat.local import LocalBackend

    adapters = {} if config.adapter is None else {config.adapter: config.adapter}
    model = load_model(config.model, config, adapters)
    if model.tokenizer.chat_template is None:
        print_notice("This model has no chat template, so it continues the conversation as plain text.")
    if defaults := model.generation_config.describe_chat_defaults():
        print_notice(f"{config.model}: {defaults}.")
    return LocalBackend(model, config.settings(), adapter=config.adapter or "")


@dataclass
class _Session:
    """Handles the lines that the user types."""

    conversation: Conversation
    interactive: bool
    as_json: bool
    lines: int = 0
    failed: int = 0

    def handle_line(self, line: str) -> None:
        """Run a command, or answer a message."""
        self.lines += 1
        try:
            if line.startswith("/"):
                self._run_command(*line.split(maxsplit=1))
            else:
                self._print_answer(lambda on_text: self.conversation.answer(line, on_text))
        except UserError as error:
            self.failed += 1
            print_notice(str(error))
        except RunError as error:
            if not self.interactive:  # a script needs the exit status
                raise
            print_notice(str(error))

    def check(self) -> None:
        """Raise UserError if lines failed and no user saw it happen: a script needs the exit status."""
        if self.failed and not self.interactive:
            raise UserError(f"{self.failed} of the {self.lines} lines failed, as the notices above say")

    def _run_command(self, command: str, argument: str = "") -> None:
        conversation = self.conversation
        if command == "/regenerate":
            self._print_answer(conversation.regenerate)
        elif command == "/back":
            print_notice(f"Taken back, and kept as a branch: {_summary(conversation.back())}")
        elif command == "/branch":
            self._switch_branch(argument)
        elif command == "/save":
            if not argument:
                raise UserError("/save needs a file name: /save FILE")
            conversation.save(Path(argument))
            print_notice(f"Appended this branch to {argument}.")
        elif command == "/reset":
            conversation.messages.clear()
            conversation.last = None
            print_notice("Started a new conversation.")
        elif command == "/system":
            conversation.system = argument
        elif command == "/help":
            print_notice(HELP)
        else:
            raise UserError(f"there is no command {command}: type /help for the list of commands")

    def _switch_branch(self, number: str) -> None:
        """Switch to a branch, or list all branches if `number` is empty."""
        conversation, branches = self.conversation, self.conversation.branches
        if not branches:
            raise UserError("there are no branches yet: ask something first")
        if number:
            numbers = [str(n) for n in range(1, len(branches) + 1)]
            if number not in numbers:
                raise UserError(f"there is no branch {number}: /branch lists the branches")
            conversation.last = branches[numbers.index(number)]
        for n, last in enumerate(branches, start=1):
            if not number or last is conversation.last:
                assert last.parent is not None
                marker = "*" if last is conversation.last else " "
                print_notice(f"{marker} {n}  {_summary(last.parent)} -> {_summary(last)}")

    def _print_answer(self, answer: Callable[[OnText], None]) -> None:
        try:
            answer((lambda text: None) if self.as_json else write_text)
        except UserError as error:
            if self.as_json:  # one line of output for each line of input
                write_text(format_json_line({"error": {"message": str(error)}}))
            raise
        except KeyboardInterrupt:
            if not self.interactive:
                raise
        finally:
            if not self.as_json:
                write_text("\n")
        if self.as_json and (last := self.conversation.last) is not None:
            message = {"role": last.role, "content": last.content, "finish_reason": last.finish_reason, "usage": last.usage}
            write_text(format_json_line(message))


def _summary(message: Message) -> str:
    text = " ".join(message.content.split())
    return text if len(text) <= MAX_SUMMARY_CHARACTERS else text[:MAX_SUMMARY_CHARACTERS] + "..."


def _enable_line_editing() -> None:
    with suppress(ImportError):  # some builds of Python lack it; the terminal's own editing remains
        import readline  # noqa: F401 - importing it gives `input` its editing and history
