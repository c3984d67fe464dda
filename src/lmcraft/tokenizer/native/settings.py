"""What the C++ needs to know of a tokenizer, and whether it computes the same ids."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.tokenizer.byte_level import byte_of_character
from lmcraft.tokenizer.native.classes import CLASS_MASK, DIGIT, LETTER, MARK, NUMBER, code_point_flags
from lmcraft.tokenizer.patterns import CL100K_WORDS, GPT2_WORDS, QWEN35_WORDS

GPT2, CL100K = 0, 1  # styles of `pieces.h`
WHOLE_TEXT, SINGLE_DIGITS, RUNS_OF_DIGITS = 0, 1, 2  # what the pattern is applied to
NO_TOKEN = 0xFFFFFFFF
MAX_ID, MAX_MERGES = 1 << 21, (1 << 22) - 1  # of the table of merges


@dataclass(frozen=True)
class Splitting:
    """How a tokenizer cuts a text into pieces."""

    style: int
    digits: int = 0
    """Maximum number of digits in a piece; 0: no limit."""
    split_digits: int = WHOLE_TEXT
    """Whether digits are split from the rest before the pattern is applied."""
    numbers_are_digits: bool = False
    r"""Whether these digits are the regular expressions' \p{N}; otherwise, what the library's own step calls digits."""
    marks_are_letters: bool = False
    """Whether combining marks are letters to the pattern, as for Qwen 3.5."""


# Patterns of GPT-2, Qwen, Llama 3, GPT-4 and lmcraft's own, which have any number of digits.
PATTERNS = {GPT2_WORDS: Splitting(GPT2), CL100K_WORDS.format(digits=""): Splitting(CL100K, 1)}
PATTERNS |= {CL100K_WORDS.format(digits="+"): Splitting(CL100K)}
PATTERNS |= {QWEN35_WORDS: Splitting(CL100K, 1, marks_are_letters=True)}
PATTERNS |= {CL100K_WORDS.format(digits=f"{{1,{digits}}}"): Splitting(CL100K, digits) for digits in range(1, 10)}


@dataclass(frozen=True)
class BpeSettings:
    """A byte-level BPE tokenizer as arrays; M merges, V tokens."""

    splitting: Splitting
    composes: bool
    """Whether text is normalized to NFC."""
    classes: NDArray[np.uint8]
    """Class and flags of each code point, (0x110000,)."""
    byte_ids: NDArray[np.uint32]
    """Tokens of the bytes, (256,); `NO_TOKEN` for those without one."""
    merges: NDArray[np.uint32]
    """Left, right and merged token, by rank, (M, 3)."""
    whole: Mapping[bytes, int]
    """The pieces that are tokens whatever the merges say; usually none."""


def read_settings(hf: HFTokenizer) -> BpeSettings | None:
    """The settings of a tokenizer; None if its ids are not known to be computed the same."""
    contents: dict[str, Any] = json.loads(hf.to_str())
    splitting, model = _read_splitting(contents.get("pre_tokenizer")), contents["model"]
    normalizer = contents.get("normalizer")
    if splitting is None or normalizer not in (None, {"type": "NFC"}) or not _is_plain(model):
        return None
    vocabulary: dict[str, int] = model["vocab"]
    alphabet = byte_of_character()
    if max(vocabulary.values(), default=0) >= MAX_ID or len(model["merges"]) > MAX_MERGES:
        return None
    byte_ids = np.full(256, NO_TOKEN, np.uint32)
    for character, byte in alphabet.items():
        byte_ids[byte] = vocabulary.get(character, NO_TOKEN)
    merges = [(vocabulary[a], vocabulary[b], vocabulary[a + b]) for a, b in map(_pair, model["merges"])]
    composes = normalizer is not None
    classes = _choose_flags(splitting)
    whole = _spell(vocabulary) if model.get("ignore_merges") else {}
    return BpeSettings(splitting, composes, classes, byte_ids, np.array(merges, np.uint32).reshape(len(merges), 3), whole)


def _choose_flags(splitting: Splitting) -> NDArray[np.uint8]:
    """Class and flags of each code point, as a splitting has them, (0x110000,)."""
    flags = code_point_flags().copy()
    if splitting.numbers_are_digits:
        flags &= ~np.uint8(DIGIT)
        flags[flags & CLASS_MASK == NUMBER] |= DIGIT
    if splitting.marks_are_letters:
        flags[flags & MARK != 0] |= LETTER
    return flags


def _is_plain(model: Mapping[str, Any]) -> bool:
    """Whether a model is BPE without what other kinds of it add."""
    affixes = ("continuing_subword_prefix", "end_of_word_suffix", "dropout")
    return model.get("type") == "BPE" and not any(model.get(name) for name in affixes)


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _spell(vocabulary: Mapping[str, int]) -> dict[bytes, int]:
    """The bytes of the tokens that are spelled in the alphabet of byte-level BPE."""
    alphabet = byte_of_character()
    spelled = {}
    for token, token_id in vocabulary.items():
        if token and all(character in alphabet for character in token):
            spelled[bytes(alphabet[character] for character in token)] = token_id
    return spelled


def _read_splitting(pre_tokenizer: Mapping[str, Any] | None) -> Splitting | None:
    """The splitting of some steps: perhaps of digits, then by a pattern, then the alphabet of bytes."""
    *before, last = (pre_tokenizer or {}).get("pretokenizers") or [pre_tokenizer or {}]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    pattern = GPT2_WORDS if last.get("use_regex", True) else _isolated_pattern(before.pop()) if before else ""
    splitting = PATTERNS.get(pattern)
    if splitting is None or not before:
        return splitting
    [digits, *others] = before
    if others:
        return None
    if digits.get("type") == "Digits":
        return replace(splitting, split_digits=SINGLE_DIGITS if digits.get("individual_digits") else RUNS_OF_DIGITS)
    if _isolated_pattern(digits) == r"\p{N}":
        return replace(splitting, split_digits=SINGLE_DIGITS, numbers_are_digits=True)
    return None


def _isolated_pattern(step: Mapping[str, Any]) -> str:
    """The regular expression by which a step splits; empty if it does something else."""
    is_split = step.get("type") == "Split" and step.get("behavior") == "Isolated" and not step.get("invert")
    pattern = step.get("pattern", {}) if is_split else {}
    return str(pattern.get("Regex", ""))
