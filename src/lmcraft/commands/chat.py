"""`lmcraft chat`: talk with a model in the terminal."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

from lmcraft.commands.generate import SamplingConfig, load_model, show
from lmcraft.config import Config
from lmcraft.errors import UserError
from lmcraft.infer.config import GenerationConfig
from lmcraft.tokenizer.template import without

if TYPE_CHECKING:
    from lmcraft.language_model import LanguageModel

HELP = """\
/system TEXT  tell the model who it is; without TEXT, take that back
/reset        begin a new conversation
/quit         leave (Ctrl-D does, too; Ctrl-C stops an answer)
/help         this list"""


@dataclass(frozen=True)
class _Positional(Config):
    model: str
    """Model folder, GGUF file or address (hf:owner/name)."""


@Parameter(name="*")
@dataclass(frozen=True)
class ChatConfig(SamplingConfig, _Positional):
    """Talk with a model; /help in the conversation lists what it obeys. Without a terminal, each line is answered."""

    system: str = ""
    """What the model is told before the conversation."""

    def resolved(self) -> "ChatConfig":
        GenerationConfig().updated(self.settings())
        return self


def chat(config: ChatConfig) -> None:
    """Answer each line of standard input, on standard output; notices go to standard error.

    Raises:
        UserError: there is no such model, or a setting does not fit.
    """
    config = config.resolved()
    conversation = Conversation(load_model(config.model, config), config.settings(), config.system)
    if conversation.model.tokenizer.chat_template is None:
        _notice("This model has no chat template, so it continues the conversation as plain text.")
    interactive = sys.stdin.isatty()
    if interactive:
        _enable_line_editing()
        _notice("/help lists the commands.")
    while True:
        try:
            line = input("> " if interactive else "").strip()
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise UserError(f"a line on standard input is not {error.encoding} text: convert it first") from error
        if line == "/quit":
            return
        if line.startswith("/"):
            _obey(line, conversation)
        elif line:
            _answer(line, conversation, interactive)


class Conversation:
    """Messages so far, and what the model answers."""

    def __init__(self, model: "LanguageModel", settings: dict[str, Any], system: str = "") -> None:
        self.model = model
        self.system = system
        self.turns: list[tuple[str, str]] = []
        """(user, assistant), oldest first."""
        self._settings = settings | {"num_return_sequences": 1}
        self._context = model.transformer.config.max_position_embeddings
        # An answer shall have max_new_tokens, but leave half of the context to what was said before.
        wanted = model.generation_config.updated(self._settings).max_new_tokens
        self._longest_prompt = self._context - min(wanted or self._context, self._context // 2)

    def answer(self, text: str, say: Callable[[str], None]) -> None:
        """Answer `text`, piece by piece; what is said when an interrupt comes is remembered as the answer.

        Raises:
            UserError: `text` alone is longer than the model's context.
        """
        tokens = self.model.tokens(self._prompt_ids(text), **self._settings)
        answer = ""
        try:
            for token in tokens:
                answer += token.text
                say(token.text)
        finally:
            self.turns.append((text, answer))

    def _prompt_ids(self, text: str) -> list[int]:
        """The conversation up to the answer to `text`, without its oldest turns where it grows too long."""
        turns = len(self.turns)
        while len(prompt_ids := self._encoded(text)) > self._longest_prompt and self.turns:
            del self.turns[0]
        if forgotten := turns - len(self.turns):
            _notice(
                f"The conversation is too long for the model's context of {self._context} tokens: "
                f"its oldest {'turn is' if forgotten == 1 else f'{forgotten} turns are'} forgotten."
            )
        return prompt_ids

    def _encoded(self, text: str) -> list[int]:
        messages = [("system", self.system)] if self.system else []
        for user, assistant in self.turns:
            messages += [("user", user), ("assistant", assistant)]
        messages.append(("user", text))
        tokenizer = self.model.tokenizer
        if tokenizer.chat_template is None:
            return tokenizer.encode("".join(content + "\n" for _, content in messages))
        special = tokenizer.special_tokens
        clean = [{"role": role, "content": without(special, content)} for role, content in messages]
        return tokenizer.encode(tokenizer.apply_chat_template(clean), parse_special=True)


def _obey(line: str, conversation: Conversation) -> None:
    command, _, argument = line.partition(" ")
    if command == "/reset":
        conversation.turns.clear()
        _notice("A new conversation begins.")
    elif command == "/system":
        conversation.system = argument.strip()
    elif command == "/help":
        _notice(HELP)
    else:
        _notice(f"There is no command {command}: /help lists those there are.")


def _answer(line: str, conversation: Conversation, interactive: bool) -> None:
    try:
        conversation.answer(line, show)
    except UserError as error:
        _notice(str(error))
    except KeyboardInterrupt:
        if not interactive:
            raise
    finally:
        show("\n")


def _enable_line_editing() -> None:
    with suppress(ImportError):  # some builds of Python have none; then the terminal's own editing must do
        import readline  # noqa: F401 - importing it gives `input` its editing and history


def _notice(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
