"""The commands of a chat, which begin with a slash."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from rich.table import Table
from rich.text import Text

from lmcraft.energy.energy import format_energy
from lmcraft.energy.record import EnergyRow
from lmcraft.energy.recording import describe_row
from lmcraft.errors import UserError
from lmcraft.generation_flags import ConversationFlags
from lmcraft.inference.generation_settings import SETTINGS
from lmcraft.inference.setting import Setting
from lmcraft.json_lines import format_json
from lmcraft.setting_values import expand_user
from lmcraft.terminal import format_duration, print_notice
from lmcraft.terminal_chat.kept import find_chat, kept_chats
from lmcraft.terminal_chat.session import ChatSession, show_last_turn
from lmcraft.terminal_chat.tree import Message

MAX_SUMMARY_CHARACTERS = 36  # of a message in the list of branches
DEFAULT = "default"
"""The value that gives a setting back to the model."""
CHAT_SETTINGS: Mapping[str, Setting] = {f.name: SETTINGS[f.name] for f in fields(ConversationFlags) if f.name in SETTINGS}


class Command(NamedTuple):
    """A command and its line in the help."""

    arguments: str
    help: str
    run: Callable[[ChatSession, str], None]


def run_command(session: ChatSession, line: str) -> None:
    """Run the command in a line that begins with a slash.

    Raises:
        UserError: there is no such command, or it does not fit.
        RunError: the server does not answer.
    """
    name, argument = command_of(line)
    if name not in COMMANDS:
        raise UserError(f"there is no command {name}: type /help for the list of commands")
    COMMANDS[name].run(session, argument)


def command_of(line: str) -> tuple[str, str]:
    """The command of a line, and what follows it."""
    name, argument = re.fullmatch(r"(\S*)\s*(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]  # it always matches
    return name, argument


def completions() -> list[str]:
    """Everything that can be typed of the commands, for the Tab key."""
    return [*COMMANDS, *(f"/set {_flag_name(name)}" for name in CHAT_SETTINGS)]


def _regenerate(session: ChatSession, argument: str) -> None:
    session.answer(session.conversation.regenerate)


def _continue(session: ChatSession, argument: str) -> None:
    last = session.conversation.last
    session.answer(session.conversation.continue_answer, "" if last is None else last.content)


def _back(session: ChatSession, argument: str) -> None:
    print_notice(f"Taken back, and kept as a branch: {summary(session.conversation.back())}")


def _branch(session: ChatSession, number: str) -> None:
    conversation, branches = session.conversation, session.conversation.branches
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
            print_notice(f"{marker} {n}  {summary(last.parent)} -> {summary(last)}")


def _model(session: ChatSession, address: str) -> None:
    if address:
        session.switch_model(address)
    print_notice(f"The model is {session.conversation.backend.name or session.choice.model}.")


def _set(session: ChatSession, argument: str) -> None:
    settings = session.choice.settings
    name, _, value = argument.partition(" ")
    if not name:
        print_notice(*(_describe_setting(own, settings, short=True) for own in settings))
        print_notice(f"As the model says: {', '.join(_flag_name(name) for name in CHAT_SETTINGS if name not in settings)}")
        return
    name, key = _setting_name(name)
    if not value.strip():
        print_notice(_describe_setting(name, settings))
        return
    changed = {other: old for other, old in settings.items() if other != name}
    if value.strip() != DEFAULT:
        parsed = parse_value(CHAT_SETTINGS[name], value.strip())
        parsed = {**settings.get(name, {}), key: parsed} if key else parsed
        flags: dict[str, Any] = {name: parsed}
        changed |= ConversationFlags(**flags).settings()
    session.change_settings(changed)
    print_notice(_describe_setting(name, changed, short=True))


def _system(session: ChatSession, text: str) -> None:
    session.conversation.system = text


def _save(session: ChatSession, file: str) -> None:
    if not file:
        raise UserError("/save needs a file name: /save FILE")
    session.conversation.save(Path(file))
    print_notice(f"Appended this branch to {file}.")


def _load(session: ChatSession, name: str) -> None:
    if not name:
        lines = list(_list_chats())
        print_notice("\n".join(lines) if lines else "No conversations are kept yet.")
        return
    file = expand_user(name)
    if file.is_file():
        session.load_saved(file)
    else:
        session.load(find_chat(name))
    show_last_turn(session.conversation, session.manner.view())


def _list_chats() -> Iterator[str]:
    chats = kept_chats()
    width = max((len(str(len(chats))), *(len(chat.id) for chat in chats)), default=0)
    for number, chat in enumerate(chats, start=1):
        age = format_duration(chat.seconds_ago)
        yield f"{number:>3}  {chat.id:<{width}}  {age:>10} ago  {chat.title}  ({chat.model})"


def _energy(session: ChatSession, argument: str) -> None:
    if session.conversation.backend.is_remote:
        print_notice("The model runs on a server: ask it for energy with include_energy, or read its /api/info.")
    elif not session.energy.method:
        print_notice("There is no answer yet.")
    else:
        total = describe_row(EnergyRow.of("chat", session.energy))
        latest = f"The latest answer drew {format_energy(session.latest_energy)}." if session.latest_energy.method else ""
        print_notice(latest, f"All answers: {total}." if total else "Energy is not measured.")


def _reset(session: ChatSession, argument: str) -> None:
    session.start_new()
    print_notice("Started a new conversation.")


def _help(session: ChatSession, argument: str) -> None:
    table = Table.grid(padding=(0, 2))
    for name, command in COMMANDS.items():
        table.add_row(Text(f"{name} {command.arguments}".strip(), no_wrap=True), command.help)
    print_notice(table, KEYS_HELP)


def _quit(session: ChatSession, argument: str) -> None:
    raise EOFError


COMMANDS: Mapping[str, Command] = {
    "/regenerate": Command("", "answer the last message again; the previous answer stays as a branch", _regenerate),
    "/continue": Command("", "go on with an answer that was stopped or reached its limit", _continue),
    "/back": Command("", "take the last message back; it stays as a branch", _back),
    "/branch": Command("N", "switch to branch N; without N, list the branches", _branch),
    "/model": Command("MODEL", "go on with another model; without MODEL, show the present one", _model),
    "/set": Command("NAME VALUE", "change a setting (temperature 0.5); `default` resets it; without NAME, list all", _set),
    "/system": Command("TEXT", "set the system prompt; without TEXT, remove it", _system),
    "/save": Command("FILE", "append this branch to a JSONL file that lmcraft finetune reads", _save),
    "/load": Command("N", "continue a kept conversation, or one from a FILE of /save; without N, list them", _load),
    "/energy": Command("", "what the latest answer and all answers have drawn", _energy),
    "/reset": Command("", "start a new conversation", _reset),
    "/help": Command("", "show this list", _help),
    "/quit": Command("", "quit, as Ctrl-D does", _quit),
}
KEYS_HELP = (
    'At a terminal, Alt-Enter begins a new line, and """ stands around several lines. Ctrl-C stops an answer, or clears the '
    "line; pressed twice, it quits."
)


def summary(message: Message) -> str:
    """The beginning of a message, on one line."""
    text = " ".join(message.content.split())
    return text if len(text) <= MAX_SUMMARY_CHARACTERS else text[:MAX_SUMMARY_CHARACTERS] + "..."


def parse_value(setting: Setting, text: str) -> Any:
    """The value of a setting that the user typed; text that is no such value is checked later, with all others."""
    if get_origin(setting.type) is tuple:
        is_text = get_args(setting.type)[0] is str
        return (text,) if is_text else tuple(_parse_number(item, (int,)) for item in text.replace(",", " ").split())
    kinds = (float,) if isinstance(setting.default, Mapping) else get_args(setting.type) or (setting.type,)
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return _parse_number(text, kinds)


def _parse_number(text: str, kinds: tuple[Any, ...]) -> Any:
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _setting_name(typed: str) -> tuple[str, str]:
    """The setting that the user means, and a key in it, as in logit-bias.198.

    Raises:
        UserError: there is none.
    """
    outer, _, key = typed.partition(".")
    name = outer.removeprefix("--").replace("-", "_")
    aliases = {setting.request_field: own for own, setting in CHAT_SETTINGS.items()}
    name = name if name in CHAT_SETTINGS else aliases.get(name, name)
    if name not in CHAT_SETTINGS:
        near = get_close_matches(name, CHAT_SETTINGS, n=1)
        raise UserError(f"there is no setting {typed}: " + (f"is it {_flag_name(near[0])}?" if near else "/set lists them"))
    return name, key


def _flag_name(name: str) -> str:
    return name.replace("_", "-")


def _describe_setting(name: str, settings: Mapping[str, Any], *, short: bool = False) -> str:
    value = f"{_flag_name(name)}: as the model says"
    if name in settings:
        value = f"{_flag_name(name)} = {format_json(settings[name])}"
    if short:
        return value
    bounds = CHAT_SETTINGS[name].bounds
    return f"{value}\n{CHAT_SETTINGS[name].help}" + (f" Allowed: {bounds}." if bounds else "")
