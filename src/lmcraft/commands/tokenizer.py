"""`lmcraft tokenizer train` and `lmcraft tokenizer inspect`."""

from __future__ import annotations

import sys
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

from lmcraft.config import Config, command_config
from lmcraft.errors import UserError


@command_config
@dataclass(frozen=True)
class TokenizerTrainConfig(Config):
    """What to learn a vocabulary from, and of which kind."""

    sources: tuple[str, ...]
    """Files (text, code, .jsonl, .json, .parquet; .gz and .zst too), folders, patterns, or hf:owner/name."""

    _: KW_ONLY

    out: Path
    """The folder to write tokenizer.json and tokenizer_config.json to."""

    tokenizer_type: Literal["bpe", "characters"] = "bpe"
    """Byte-level BPE, or one token for each character."""

    vocab_size: int = 8192
    """How many tokens (BPE)."""

    digits: int = 1
    """The longest run of digits that can be one token (BPE); 0 for no limit."""

    special_tokens: tuple[str, ...] | None = None
    """Tokens that no text turns into; the first ends a document. Left out: "<|endoftext|>" for BPE, else none."""

    max_bytes: int = 50_000_000
    """How much text training sees at most, evenly sampled (BPE); text without spaces takes 60 bytes of memory for each."""

    text_field: str = "text"
    """Where the rows of .jsonl, .json, .parquet and datasets have their text."""

    include: tuple[str, ...] = ()
    """Which files of folders to read, such as "*.py"; left out, all text files."""

    exclude: tuple[str, ...] = ()
    """Which files of folders to leave out."""

    overwrite: bool = False
    """Replace a tokenizer that is in the folder."""


@command_config
@dataclass(frozen=True)
class TokenizerInspectConfig(Config):
    """Which tokenizer to look at, and on what text."""

    tokenizer: Path
    """A folder with a tokenizer (a model, a dataset) or a tokenizer.json."""

    text: str | None = None
    """The text; left out, it is read from standard input."""


def train_tokenizer(config: TokenizerTrainConfig) -> Path:
    """Train a tokenizer on text.

    Raises:
        UserError: a source cannot be read, the vocabulary is too small, or there is a tokenizer at `out` already.
    """
    from lmcraft.data import ReadStats, read_documents, show_progress
    from lmcraft.tokenizer import train_bpe, train_characters
    from lmcraft.tokenizer.train import END_OF_TEXT

    if (config.out / "tokenizer.json").exists() and not config.overwrite:
        raise UserError(f"out '{config.out}' has a tokenizer already: name another folder, or add `--overwrite`")
    stats = ReadStats()
    documents = read_documents(
        config.sources, text_field=config.text_field, include=config.include, exclude=config.exclude, stats=stats
    )
    texts = (document.text for document in show_progress(documents, stats, "reading"))
    if config.tokenizer_type == "characters":
        tokenizer = train_characters(texts, special_tokens=config.special_tokens or ())
    else:
        tokenizer = train_bpe(
            texts,
            vocab_size=config.vocab_size,
            digits=config.digits,
            special_tokens=(END_OF_TEXT,) if config.special_tokens is None else config.special_tokens,
            max_bytes=config.max_bytes,
        )
    tokenizer.save(config.out)
    print(f"{config.out}: {tokenizer.vocab_size:,} tokens")
    if stats.malformed_count:
        print(f"  {stats.malformed_count:,} malformed rows were left out")
    return config.out


def inspect_tokenizer(config: TokenizerInspectConfig) -> None:
    """Print the tokens of a text, characters per token, and whether the round trip is exact.

    Raises:
        UserError: there is no tokenizer.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lmcraft.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(config.tokenizer)
    data = sys.stdin.buffer.read() if config.text is None else config.text.encode("utf-8", "surrogateescape")
    ids = tokenizer.encode(data)
    table = Table("id", "token", "bytes")
    for token_id in ids:
        token = tokenizer.token_bytes(token_id)
        # repr shows white space and control characters; Text keeps rich from reading [markup] in a token
        table.add_row(str(token_id), Text(repr(token.decode("utf-8", "replace"))), token.hex(" "))
    console = Console()
    console.print(table)
    characters = len(data.decode("utf-8", "replace"))
    exact = tokenizer.decode_bytes(ids, skip_special_tokens=False) == data
    console.print(
        f"{len(ids):,} tokens, {characters / max(len(ids), 1):.2f} characters per token, "
        f"{len(data) / max(len(ids), 1):.2f} bytes per token; the round trip is {'exact' if exact else 'not exact'}",
        soft_wrap=True,
        highlight=False,
    )
