"""The tokens of fill-in-the-middle in a vocabulary, and prompts of them (arXiv 2207.14255).

A prompt is the prefix token, the text before the gap, the suffix token, the text after it, and the middle token; the model
writes the gap, and then an end token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lmcraft.errors import UserError
from lmcraft.tokenizer.tokenizer import Tokenizer

FILL_IN_MIDDLE_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
"""Prefix, suffix and middle, as lmcraft spells them; so do Qwen2.5-Coder and CodeGemma."""
SPELLINGS = (
    FILL_IN_MIDDLE_TOKENS,
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek
    ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),  # GLM-4.5
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),  # Code Llama
)
END_SPELLINGS = ("<|endoftext|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>", "▁<EOT>")
"""Tokens that end a gap besides those that end the model's other texts."""


@dataclass(frozen=True)
class FillInMiddle:
    """The ids of a vocabulary's fill-in-the-middle tokens."""

    prefix: int
    suffix: int
    middle: int
    ends: frozenset[int]
    """Tokens that end the middle, these three among them: none of them is text of a gap."""

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "FillInMiddle | None":
        """The tokens of a vocabulary; None: it has none."""
        for names in SPELLINGS:
            match [tokenizer.id_of(name) for name in names]:
                case [int(prefix), int(suffix), int(middle)]:
                    ends = (tokenizer.eos_token_id, *map(tokenizer.id_of, END_SPELLINGS), prefix, suffix, middle)
                    return cls(prefix, suffix, middle, frozenset(end for end in ends if end is not None))
        return None

    def prompt(
        self, tokenizer: Tokenizer, prefix: str | Sequence[int], suffix: str, *, add_special_tokens: bool = True
    ) -> list[int]:
        """The tokens after which a model writes the text between `prefix`, a text or its tokens, and `suffix`."""
        before = tokenizer.encode(prefix) if isinstance(prefix, str) else prefix
        begin = tokenizer.begin_ids if add_special_tokens else ()
        return [*begin, self.prefix, *before, self.suffix, *tokenizer.encode(suffix), self.middle]


def with_fill_in_middle(tokenizer: Tokenizer) -> Tokenizer:
    """A copy with the tokens of fill-in-the-middle, unless it has some."""
    return tokenizer if FillInMiddle.of(tokenizer) else tokenizer.with_special_tokens(FILL_IN_MIDDLE_TOKENS)


def require_fill_in_middle(tokenizer: Tokenizer, setting: str) -> FillInMiddle:
    """The tokens of a vocabulary that a setting needs.

    Raises:
        UserError: it has none.
    """
    if (tokens := FillInMiddle.of(tokenizer)) is None:
        raise UserError(
            f"{setting} needs a vocabulary with tokens for fill-in-the-middle, such as {FILL_IN_MIDDLE_TOKENS[0]}: use a "
            "model of code, or train one on data from `lmcraft prepare --fim`"
        )
    return tokens
