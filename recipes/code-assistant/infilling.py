"""What a model makes of gaps, and how likely it finds the truth."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import log
from typing import Literal

import torch
from gaps import PREFIX_CHARACTERS, SUFFIX_CHARACTERS, Gap

from lmcraft.evaluation.sandbox import run_program
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer.fill_in_middle import FillInMiddle, require_fill_in_middle

Order = Literal["fill-in-the-middle", "prefix", "suffix and prefix"]
"""What a model reads before it writes: both parts with the special tokens, the prefix alone, or the suffix and then the
prefix as plain text."""
MAX_NEW_TOKENS, SPECIAL_TOKENS = 48, 4
GAPS_PER_BATCH = 32


@dataclass(frozen=True)
class Infiller:
    """A model, and how it is asked to fill a gap."""

    model: LanguageModel
    order: Order

    def prompt(self, gap: Gap) -> list[int]:
        """What the model reads: as much of the text before the gap as its context has room for."""
        tokenizer, suffix = self.model.tokenizer, gap.suffix[:SUFFIX_CHARACTERS]
        before = tokenizer.encode(f"{suffix}\n\n") if self.order != "prefix" else []
        room = self.context - MAX_NEW_TOKENS - len(before) - SPECIAL_TOKENS
        prefix = tokenizer.encode(gap.prefix[-PREFIX_CHARACTERS:])[-room:]
        if self.order == "fill-in-the-middle":
            return self._tokens.prompt(tokenizer, prefix, suffix)
        end = tokenizer.eos_token_id
        return [*([] if end is None else [end]), *before, *prefix]

    @property
    def _tokens(self) -> FillInMiddle:
        return require_fill_in_middle(self.model.tokenizer, "the recipe")

    def complete(self, gaps: Sequence[Gap], *, stops_at_line_end: bool) -> list[str]:
        """The text that the model writes for each gap, the most likely token at a time."""
        settings = {"temperature": 0.0, "max_new_tokens": MAX_NEW_TOKENS}
        if stops_at_line_end:
            settings["stop"] = ("\n",)
        texts = []
        for start in range(0, len(gaps), GAPS_PER_BATCH):
            batch = gaps[start : start + GAPS_PER_BATCH]
            prompts = [self.prompt(gap) for gap in batch]
            rows = self.model.generate(prompts, **settings)
            texts += [self._text(row[len(prompt) :]) for prompt, row in zip(prompts, rows, strict=True)]
        return [text.split("\n")[0] for text in texts] if stops_at_line_end else texts

    def _text(self, ids: Sequence[int]) -> str:
        ends = self._tokens.ends
        stop = next((place for place, token in enumerate(ids) if token in ends), len(ids))
        return self.model.tokenizer.decode(ids[:stop])

    @property
    def context(self) -> int:
        return self.model.transformer.config.max_position_embeddings

    def bits(self, gap: Gap) -> float:
        """The bits of the true middle, given what the model reads."""
        middle = self.model.tokenizer.encode(gap.middle)[:MAX_NEW_TOKENS]
        return sum(_bits(self.model, [*self.prompt(gap), *middle], len(middle)))


@torch.inference_mode()
def _bits(model: LanguageModel, ids: Sequence[int], count: int) -> list[float]:
    """The bits of the last `count` tokens."""
    logits = model.transformer(torch.tensor([ids[:-1]]))[0, -count:].float()
    targets = torch.tensor(ids[-count:])
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none") / log(2)
    return losses.tolist()


def left_to_right(model: LanguageModel, modules: Mapping[str, str]) -> Iterator[tuple[str, float, int]]:
    """Module, bits and bytes of each row of text, read from left to right."""
    tokenizer = model.tokenizer
    begin, length = [tokenizer.eos_token_id or 0], model.transformer.config.max_position_embeddings
    for name, text in modules.items():
        ids = tokenizer.encode(text)
        for start in range(0, len(ids), length - 1):
            row = ids[start : start + length - 1]
            yield name, sum(_bits(model, [*begin, *row], len(row))), len(tokenizer.decode_bytes(row))


def passes(gaps: Sequence[Gap], middles: Sequence[str]) -> list[bool]:
    """Whether each function with its gap filled passes HumanEval's tests, in the sandbox."""
    programs = [f"{gap.prefix}{middle}{gap.suffix}{gap.test}" for gap, middle in zip(gaps, middles, strict=True)]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda program: _is_python(program) and run_program(program).passed, programs))


def _is_python(program: str) -> bool:
    try:
        ast.parse(program)
    except (SyntaxError, ValueError):
        return False
    return True
