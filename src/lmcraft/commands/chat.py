"""`lmcraft chat`: a conversation with a model in the terminal."""

import sys
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, fields, replace
from functools import partial

from lmcraft.config import command_config, takes_settings
from lmcraft.errors import LmcraftError, RunError, UserError
from lmcraft.generation_flags import ConversationFlags, load_model
from lmcraft.hub.model_argument import ModelArgument
from lmcraft.inference.generation_settings import SETTINGS
from lmcraft.standard_streams import check_decoded, undecoded_error
from lmcraft.terminal import print_notice
from lmcraft.terminal_chat.commands import COMMANDS, command_of, completions, run_command
from lmcraft.terminal_chat.kept import ChatFile, data_folder, find_chat, read_chat
from lmcraft.terminal_chat.remote import RemoteBackend, is_remote
from lmcraft.terminal_chat.session import ChatSession, Choice, Manner, explain_rest, show_last_turn
from lmcraft.terminal_chat.tree import Backend


@command_config
@dataclass(frozen=True)
class ChatConfig(ConversationFlags):
    """Chat with a model in the terminal; type /help for the commands. Without a terminal, answer each line of the input.

    Settings that are not given come from the model's generation_config.json. A model that has no sampling settings of its
    own gets temperature 0.8, top-p 0.95 and min-p 0.05.
    """

    model: ModelArgument = ""
    """Model folder, GGUF file, address (hf:owner/name), or the http://HOST:PORT of a running server, with #NAME to choose a
    model other than its first. A server's API key goes into the environment variable LMCRAFT_API_KEY. With --continue or
    --resume, the conversation's own by default."""

    _: KW_ONLY

    system: str = ""
    """System prompt."""
    adapter: str | None = None
    """Folder or address of a LoRA or DoRA adapter (PEFT format) for this model, applied without merging."""
    continue_: bool = False
    """Continue the latest conversation that was kept."""
    resume: str = ""
    """Continue the conversation with this id, or this number in the list of /load."""
    keep: bool = True
    """Keep conversations at a terminal in the data folder ($LMCRAFT_DATA, else ~/.local/share/lmcraft); --no-keep leaves no
    trace."""
    plain: bool = False
    """At a terminal, show answers as the model writes them, instead of drawing their Markdown."""
    json: bool = False
    """Print each complete answer as one line of JSON, with its finish reason and token counts."""

    def resolved(self) -> "ChatConfig":
        self.check_settings()
        if not (self.model or self.continue_ or self.resume):
            raise UserError("chat needs a model, lmcraft chat MODEL, or a conversation to continue, --continue")
        if self.continue_ and self.resume:
            raise UserError(f"--continue and --resume {self.resume} exclude each other: give one")
        if is_remote(self.model):
            self._check_remote()
        return self

    def _check_remote(self) -> None:
        """Raise UserError for a setting that requests to a server do not have."""
        request_settings = {name for name, setting in SETTINGS.items() if setting.request_field}
        for f in fields(self):
            own = {"model", "system", "json", "continue_", "resume", "keep", "plain"}
            if f.name not in {*own, *request_settings} and getattr(self, f.name) != f.default:
                base = self.model.partition("#")[0]
                remedy = f"name it as the model, {base}#NAME" if f.name == "adapter" else "leave it out"
                raise UserError(f"--{f.name.replace('_', '-')} does not apply to a model behind a server: {remedy}")


@takes_settings(ChatConfig)
def chat(config: ChatConfig = ChatConfig()) -> None:
    """Answer each line of standard input on standard output; notices go to standard error.

    Raises:
        UserError: there is no such model, a setting is invalid, or, outside a terminal, a line failed.
        RunError: the server does not answer. In a terminal, once the conversation has started, this is only a notice.
    """
    config = config.resolved()
    session = _open_session(config)
    try:
        if session.manner.is_interactive and not config.json:
            _converse(session)
        else:
            _answer_lines(session)
    finally:
        session.close()


def _open_session(config: ChatConfig) -> ChatSession:
    is_interactive = sys.stdin.isatty()
    manner = Manner(is_interactive, config.json, config.plain, keeps=config.keep and is_interactive)
    if not (config.continue_ or config.resume):
        choice = Choice(config.model, config.adapter, config.settings())
        return ChatSession(choice, partial(_open_backend, config, manner), manner, system=config.system)
    path = find_chat(config.resume)
    file = ChatFile(path)  # before it is read, since another program may write
    loaded = read_chat(path)
    state = loaded.state
    model = config.model or str(state.get("model") or "")
    if not model:
        raise UserError(f"the conversation {path.stem} names no model: give one, lmcraft chat MODEL --resume {path.stem}")
    adapter = config.adapter or (state.get("adapter") if model == state.get("model") else None)
    choice = Choice(model, adapter, {**(state.get("settings") or {}), **config.settings()})
    return ChatSession(
        choice, partial(_open_backend, config, manner), manner, system=config.system or None, loaded=loaded, file=file
    )


def _open_backend(config: ChatConfig, manner: Manner, choice: Choice) -> Backend:
    divides = manner.is_interactive and not manner.as_json and sys.stdout.isatty()
    if is_remote(choice.model):
        remote = RemoteBackend(choice.model, choice.settings, divides=divides)
        if manner.is_interactive:
            print_notice(f"Connected to {remote.name}.")
        return remote
    from lmcraft.terminal_chat.local import LocalBackend

    if manner.is_interactive:
        print_notice(f"Opening {choice.model} ...")
    adapters = {} if choice.adapter is None else {choice.adapter: choice.adapter}
    flags = config
    if choice.model != config.model:  # which these fit
        flags = replace(config, draft=None, steer_toward=None, steer_away=None)
    model = load_model(choice.model, flags, adapters)
    if model.tokenizer.chat_template is None:
        print_notice("This model has no chat template, so it continues the conversation as plain text.")
    if defaults := model.generation_config.describe_chat_defaults():
        print_notice(f"{choice.model}: {defaults}.")
    return LocalBackend(model, choice.settings, name=choice.model, adapter=choice.adapter or "", divides=divides)


def _answer_lines(session: ChatSession) -> None:
    """Answer each line of standard input.

    Raises:
        UserError: a line cannot be decoded; or lines failed, and nobody has seen it: a script needs the exit status.
        RunError: the server does not answer.
    """
    lines = failed = 0
    with suppress(EOFError):
        while True:
            try:
                line = input().strip()
            except UnicodeDecodeError as error:
                raise undecoded_error("a line of standard input") from error
            check_decoded(line, "a line of standard input")
            if not line:
                continue
            try:
                _handle(session, line)
            except UserError as error:
                failed += 1
                print_notice(str(error))
            except RunError as error:
                if not session.manner.is_interactive:
                    raise
                print_notice(str(error))
            lines += 1
    if failed and not session.manner.is_interactive:
        raise UserError(f"{failed} of the {lines} lines failed, as the notices above say")


def _converse(session: ChatSession) -> None:
    """Answer what the user types at a terminal."""
    from lmcraft.terminal_chat.entry import Entry, unquoted

    print_notice("Type /help for the list of commands.")
    entry = Entry(completions(), data_folder() / "typed" if session.manner.keeps else None)
    show_last_turn(session.conversation, session.manner.view())
    while (text := entry.read(session.conversation.draft)) is not None:
        session.conversation.draft = ""
        message = unquoted(text)
        try:
            if message is not None:
                session.answer(partial(session.conversation.answer, message))
            elif text:
                _handle(session, text)
        except LmcraftError as error:
            print_notice(str(error))
            explain_rest(session.conversation)
        except KeyboardInterrupt:
            print_notice("[Stopped]")
        except EOFError:
            break
    if session.file is not None and session.file.is_written and session.file.path is not None:
        print_notice(f"Kept: `lmcraft chat --resume {session.file.path.stem}` continues this conversation.")


def _handle(session: ChatSession, text: str) -> None:
    """Run a command, or answer a message."""
    is_command = text.startswith("/") and ("\n" not in text or command_of(text)[0] in COMMANDS)
    if is_command:
        run_command(session, text)
    else:
        session.answer(partial(session.conversation.answer, text))
