"""What a model thinks before its answer, told apart from the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lmcraft.inference.text_stream import overlap
from lmcraft.inference.thought_format import FORMATS, ReasoningParser, ThoughtFormat
from lmcraft.tokenizer.tokenizer import Tokenizer

MAX_TAG_TOKENS = 16  # of a prompt's end, where a template may have begun or ended the thoughts


def find_format(tokenizer: Tokenizer, name: ReasoningParser = "auto") -> ThoughtFormat | None:
    """The format of a model's thoughts, by its name or, with "auto", by the chat template; None: they stay in the answer."""
    if name != "auto":
        return FORMATS.get(name)
    template = tokenizer.chat_template or ""
    return next((form for form in FORMATS.values() if form.end_tag in template), None)


@dataclass(frozen=True)
class Thinking:
    """How an answer begins: in the midst of thoughts, or with a tag that may begin them."""

    form: ThoughtFormat
    is_open: bool
    """Whether the prompt has begun the thoughts."""

    @classmethod
    def after(
        cls, prompt_ids: Sequence[int], tokenizer: Tokenizer, form: ThoughtFormat | None, begun: str | None = None
    ) -> "Thinking | None":
        """How the answer to a prompt begins; None if the model has no thoughts, or the answer is past them.

        Args:
            prompt_ids: the prompt.
            tokenizer: of the model.
            form: of the model's thoughts; None: it has none.
            begun: the answer's text in the prompt, which the model continues; None: the answer begins after the prompt.
        """
        if form is None:
            return None
        if begun is not None:
            is_open = begun.lstrip().startswith(form.start_tag) and form.end_tag not in begun
            return cls(form, is_open=True) if is_open else None
        end = tokenizer.decode(prompt_ids[-MAX_TAG_TOKENS:], skip_special_tokens=False).rstrip()
        if end.endswith(form.end_tag):  # as with Qwen's enable_thinking=false
            form = replace(form, is_implied=False)
        return cls(form, is_open=end.endswith(form.start_tag))


class ThoughtParser:
    """Divides text that arrives in pieces into thoughts and the answer after them.

    White space around the thoughts is left out. Text that never has the tags is the answer.

    Args:
        form: how the model writes its thoughts.
        is_open: whether the prompt has begun the thoughts.
    """

    def __init__(self, form: ThoughtFormat, *, is_open: bool) -> None:
        self._form = form
        self._held = ""
        """Text of which it is not known yet to what it belongs."""
        self._state: Literal["start", "thoughts", "gap", "answer"] = "thoughts" if is_open else "start"
        self._has_thoughts = False

    @classmethod
    def of(cls, tokenizer: Tokenizer, prompt_ids: Sequence[int], begun: str | None = None) -> "ThoughtParser | None":
        """The parser for the answer to a prompt, in the format of the chat template; arguments as in `Thinking.after`."""
        thinking = Thinking.after(prompt_ids, tokenizer, find_format(tokenizer), begun)
        return None if thinking is None else cls(thinking.form, is_open=thinking.is_open)

    def hidden_tags(self, tokenizer: Tokenizer) -> Mapping[int, str]:
        """The tags that are special tokens, by id: decoding leaves them out."""
        tags = (self._form.start_tag, self._form.end_tag)
        return {tokenizer.special_tokens[tag]: tag for tag in tags if tag in tokenizer.special_tokens}

    @property
    def is_thinking(self) -> bool:
        """Whether the thoughts have begun and not ended."""
        return self._state == "thoughts" or (self._state == "start" and self._form.is_implied)

    def put(self, piece: str) -> tuple[str, str]:
        """Add a piece; returns the thoughts and the part of the answer that are now known."""
        self._held += piece
        thoughts = ""
        if self._state == "start":
            self._find_start()
        if self._state == "thoughts":
            thoughts = self._take_thoughts()
        if self._state == "gap" and (text := self._held.lstrip()):
            self._state, self._held = "answer", text
        return thoughts, self._take(len(self._held)) if self._state == "answer" else ""

    def end(self) -> tuple[str, str]:
        """End the text; returns the thoughts and the part of the answer that were held back."""
        held = self._take(len(self._held))
        if self._state == "thoughts":
            return self._strip(held.rstrip()), ""
        return "", held if self._state == "start" else ""

    def _find_start(self) -> None:
        text, start_tag = self._held.lstrip(), self._form.start_tag
        if text.startswith(start_tag):
            self._state, self._held = "thoughts", text.removeprefix(start_tag)
        elif not start_tag.startswith(text):
            self._state = "thoughts" if self._form.is_implied else "answer"

    def _take_thoughts(self) -> str:
        text, end_tag, rest = self._held.partition(self._form.end_tag)
        if end_tag:
            self._state, self._held = "gap", rest
            return self._strip(text.rstrip())
        complete = self._held[: len(self._held) - overlap(self._held, self._form.end_tag)].rstrip()
        return self._strip(self._take(len(complete)))

    def _strip(self, text: str) -> str:
        """Thoughts without the white space before the first ones."""
        text = text if self._has_thoughts else text.lstrip()
        self._has_thoughts = self._has_thoughts or bool(text)
        return text

    def _take(self, length: int) -> str:
        taken, self._held = self._held[:length], self._held[length:]
        return taken
