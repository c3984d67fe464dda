"""What a model thinks before its answer, told apart from the answer by the tags that its chat template knows."""

from collections.abc import Mapping, Sequence
from typing import Literal

from lmcraft.inference.text_stream import overlap
from lmcraft.tokenizer.tokenizer import Tokenizer

TAGS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
MAX_TAG_TOKENS = 16  # of a prompt's end, where a template may have begun the thoughts


class ThoughtParser:
    """Divides text that arrives in pieces into thoughts and the answer after them.

    White space around the thoughts is left out. Text that never has the tags is the answer.

    Args:
        tags: the one that begins the thoughts, and the one that ends them.
        is_open: whether the prompt has begun the thoughts.
    """

    def __init__(self, tags: tuple[str, str], *, is_open: bool) -> None:
        self._start_tag, self._end_tag = self.tags = tags
        self._held = ""
        """Text of which it is not known yet to what it belongs."""
        self._state: Literal["start", "thoughts", "gap", "answer"] = "thoughts" if is_open else "start"
        self._has_thoughts = False

    @classmethod
    def of(cls, tokenizer: Tokenizer, prompt_ids: Sequence[int], begun: str | None = None) -> "ThoughtParser | None":
        """The parser for the answer to a prompt; None if the chat template knows no thoughts, or the answer is past them.

        Args:
            tokenizer: has the chat template, and decodes the prompt.
            prompt_ids: the prompt.
            begun: the answer's text in the prompt, which the model continues; None: the answer begins after the prompt.
        """
        template = tokenizer.chat_template or ""
        tags = next((tags for tags in TAGS if all(tag in template for tag in tags)), None)
        if tags is None:
            return None
        if begun is None:
            prompt_end = tokenizer.decode(prompt_ids[-MAX_TAG_TOKENS:], skip_special_tokens=False)
            return cls(tags, is_open=prompt_end.rstrip().endswith(tags[0]))
        is_open = begun.lstrip().startswith(tags[0]) and tags[1] not in begun
        return cls(tags, is_open=True) if is_open else None

    def hidden_tags(self, tokenizer: Tokenizer) -> Mapping[int, str]:
        """The tags that are special tokens, by id: decoding leaves them out."""
        return {tokenizer.special_tokens[tag]: tag for tag in self.tags if tag in tokenizer.special_tokens}

    @property
    def is_thinking(self) -> bool:
        """Whether the thoughts have begun and not ended."""
        return self._state == "thoughts"

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
        return (
            (self._strip(held.rstrip()), "") if self._state == "thoughts" else ("", held if self._state == "start" else "")
        )

    def _find_start(self) -> None:
        text = self._held.lstrip()
        if text.startswith(self._start_tag):
            self._state, self._held = "thoughts", text.removeprefix(self._start_tag)
        elif not self._start_tag.startswith(text):
            self._state = "answer"

    def _take_thoughts(self) -> str:
        text, end_tag, rest = self._held.partition(self._end_tag)
        if end_tag:
            self._state, self._held = "gap", rest
            return self._strip(text.rstrip())
        complete = self._held[: len(self._held) - overlap(self._held, self._end_tag)].rstrip()
        return self._strip(self._take(len(complete)))

    def _strip(self, text: str) -> str:
        """Thoughts without the white space before the first ones."""
        text = text if self._has_thoughts else text.lstrip()
        self._has_thoughts = self._has_thoughts or bool(text)
        return text

    def _take(self, length: int) -> str:
        taken, self._held = self._held[:length], self._held[length:]
        return taken
