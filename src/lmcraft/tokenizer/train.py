"""Train a tokenizer: byte-level BPE, or one token per character."""

import json
import re
from collections.abc import Container, Iterable, Iterator, Sequence

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.errors import UserError
from lmcraft.tokenizer.byte_level import byte_of_character
from lmcraft.tokenizer.patterns import CL100K_WORDS
from lmcraft.tokenizer.tokenizer import Tokenizer

END_OF_TEXT = "<|endoftext|>"

# The unit of sampling: up to 8000 characters, ending before a space if possible.
_CHUNK = re.compile(r"(?s).{1,8000}(?!\S)|.{1,8000}")


def train_bpe(
    texts: Iterable[str],
    *,
    vocab_size: int,
    digits: int = 1,
    special_tokens: Sequence[str] = (END_OF_TEXT,),
    max_bytes: int = 50_000_000,
) -> Tokenizer:
    """Train a byte-level BPE tokenizer, which can encode any text.

    Memory is bounded: training sees at most about `max_bytes` of the text, sampled evenly.

    Args:
        texts: read once, as a stream.
        vocab_size: number of tokens, including special ones; fewer if the text has too few repeated pieces.
        digits: maximum number of digits in a token; 0: no limit.
        special_tokens: get the first ids; the first one marks the end of a document.
        max_bytes: upper bound on training text, in UTF-8 bytes. Text without spaces, such as Chinese, needs about 60
            bytes of memory per byte.

    Raises:
        UserError: `vocab_size` leaves no room for the 256 bytes, `digits` is negative, there is no text, or a special
            token is also a token of the text.
    """
    check_settings(vocab_size, digits, special_tokens)
    _check_special_tokens(special_tokens, byte_of_character())
    sample = sample_evenly(texts, max_bytes)
    if not sample:
        raise UserError("there is no text to train the tokenizer on; check the sources")

    pattern = CL100K_WORDS.format(digits={0: "+", 1: ""}.get(digits, f"{{1,{digits}}}"))
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    # Without spaces a piece can be a whole Chinese sentence or a base64 string, and the trainer scans a piece at each of
    # its merges. Pieces of 32 characters keep that cheap, and no useful token is longer.
    short = pre_tokenizers.Split(Regex(r"[\s\S]{1,32}"), behavior="isolated")

    hf = HFTokenizer(models.BPE())
    hf.decoder = decoders.ByteLevel()
    hf.pre_tokenizer = pre_tokenizers.Sequence([split, short, to_bytes])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,  # ignore pairs that occur once
        special_tokens=_as_special(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    hf.train_from_iterator(sample, trainer)
    hf.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    merges = json.loads(hf.model.__getstate__())["merges"]
    _check_special_tokens(special_tokens, {"".join(merge) for merge in merges})
    return Tokenizer(hf, _config(special_tokens))


def check_settings(vocab_size: int, digits: int, special_tokens: Sequence[str] = (END_OF_TEXT,)) -> None:
    """Check the settings of `train_bpe`.

    Raises:
        UserError: one of them is impossible.
    """
    smallest = 256 + len(special_tokens)
    if vocab_size < smallest:
        raise UserError(
            f"vocab_size {vocab_size} is too small for byte-level BPE; the 256 bytes and {len(special_tokens)} special "
            f"tokens need at least {smallest}"
        )
    if digits < 0:
        raise UserError(f"digits {digits} is negative; use 0 for no limit")


def train_characters(texts: Iterable[str], *, special_tokens: Sequence[str] = ()) -> Tokenizer:
    """A tokenizer with one token per distinct character, ordered by code point, after the special tokens.

    Raises:
        UserError: there is no text, or a special token has one character, which would stand for that character.
    """
    characters: set[str] = set()
    for text in texts:
        characters.update(text)
    if not characters:
        raise UserError("there is no text to take the characters from; check the sources")
    _check_special_tokens(special_tokens, {token for token in special_tokens if len(token) == 1})
    # BPE without merges: one token per character, in a form that every reader of tokenizer.json supports.
    vocabulary = [*special_tokens, *sorted(characters)]
    hf = HFTokenizer(models.BPE({token: token_id for token_id, token in enumerate(vocabulary)}, []))
    hf.decoder = decoders.Fuse()  # concatenates; without a decoder, the library inserts spaces between tokens
    hf.add_special_tokens(_as_special(special_tokens))
    return Tokenizer(hf, _config(special_tokens))


def sample_evenly(texts: Iterable[str], max_bytes: int) -> list[str]:
    """At most `max_bytes` of the texts in UTF-8, spread evenly; all of the texts if they fit.

    The number of texts is not known in advance, so when the sample is full, every second chunk is dropped and the sampling
    stride doubles. Deterministic.
    """
    sample: list[str] = []
    size = 0
    stride = 1
    for number, chunk in enumerate(_chunks(texts)):
        if number % stride:
            continue
        sample.append(chunk)
        size += _size(chunk)
        while size > max_bytes and len(sample) > 1:
            del sample[1::2]
            size = sum(map(_size, sample))
            stride *= 2
    return sample


def _chunks(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for match in _CHUNK.finditer(text):
            yield match[0]


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _check_special_tokens(special_tokens: Sequence[str], text_tokens: Container[str]) -> None:
    """Raise UserError if a special token is empty, repeated, or spelled like a token of text, which would vanish with it."""
    for number, token in enumerate(special_tokens):
        if not token or token in special_tokens[:number]:
            raise UserError(f"special_tokens has {token!r} {'twice' if token else 'in it'}: leave it out")
        if token.isspace() or not token.isprintable():
            kind = "is only white space" if token.isspace() else "has characters that do not show"
            raise UserError(f"special token {token!r} {kind}: use a spelling that is never text, such as '<|end|>'")
        if token in text_tokens:
            raise UserError(
                f"special token {token!r} is also text, which would be lost with it: use a spelling that is never text, "
                f"such as '<|{token.strip() or 'end'}|>'"
            )


def _as_special(tokens: Sequence[str]) -> list[AddedToken]:
    return [AddedToken(token, special=True, normalized=False) for token in tokens]


def _config(special_tokens: Sequence[str]) -> dict[str, str]:
    return {"eos_token": special_tokens[0]} if special_tokens else {}
