"""`lmcraft tokenizer train` and `lmcraft tokenizer inspect`."""

from __future__ import annotations

import sys
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

from rich.table import Table
from rich.text import Text

from lmcraft.commands.prepare import TextConfig
from lmcraft.config import Config, command_config, takes_settings
from lmcraft.folder import replace_output
from lmcraft.folder.output import TOKENIZER
from lmcraft.terminal import print_result


@command_config
@dataclass(frozen=True)
class TokenizerTrainConfig(TextConfig):
    """Train a tokenizer on text."""

    sources: tuple[str, ...]
    """Text, code, .html, .jsonl, .json, .csv, .tsv, .parquet (also .gz and .zst), folders, patterns, or hf:owner/name."""

    _: KW_ONLY

    out: Path
    """Folder to write tokenizer.json and tokenizer_config.json to."""

    tokenizer_type: Literal["bpe", "characters"] = "bpe"
    """Type of tokenizer: byte-level BPE, or one token per character."""

    vocab_size: int = 8192
    """Vocabulary size (BPE)."""

    digits: int = 1
    """Maximum number of digits per token (BPE); 0: no limit."""

    special_tokens: tuple[str, ...] | None = None
    """Special tokens, never produced from text; the first marks the end of a document. [default: "<|endoftext|>" for BPE]"""

    fim: bool = False
    """Add the tokens of fill-in-the-middle, for `lmcraft pretrain --fim-rate`."""

    max_bytes: int = 50_000_000
    """Maximum training text in bytes, sampled evenly (BPE). Text without spaces needs 60 bytes of memory per byte."""

    overwrite: bool = False
    """Replace the tokenizer in --out if there is one."""


@command_config
@dataclass(frozen=True)
class TokenizerInspectConfig(Config):
    """Show how a tokenizer splits a text."""

    tokenizer: Path
    """Folder with a tokenizer (of a model or a dataset), or a tokenizer.json."""

    text: str | None = None
    """Text to split. [default: standard input]"""


@takes_settings(TokenizerTrainConfig)
def train_tokenizer(config: TokenizerTrainConfig) -> Path:
    """Train a tokenizer on text.

    Raises:
        UserError: a source cannot be read, the vocabulary is too small, or `out` exists.
    """
    from lmcraft.data import ReadStats, TextSources, show_progress
    from lmcraft.data.documents import describe_losses
    from lmcraft.tokenizer import train_bpe, train_characters
    from lmcraft.tokenizer.fill_in_middle import FILL_IN_MIDDLE_TOKENS
    from lmcraft.tokenizer.train import END_OF_TEXT

    special_tokens = config.special_tokens
    if special_tokens is None:
        special_tokens = (END_OF_TEXT,) if config.tokenizer_type == "bpe" or config.fim else ()
    if config.fim:
        special_tokens = (*special_tokens, *(token for token in FILL_IN_MIDDLE_TOKENS if token not in special_tokens))
    sources = [("source", source) for source in config.sources]
    with replace_output(config.out, TOKENIZER, overwrite=config.overwrite, sources=sources) as folder:
        stats = ReadStats()
        text_sources = TextSources.open(config.sources, **config.source_settings())
        texts = (document.text for document in show_progress(text_sources.read_nonempty(stats), stats, "reading"))
        if config.tokenizer_type == "characters":
            tokenizer = train_characters(texts, special_tokens=special_tokens)
        else:
            tokenizer = train_bpe(
                texts,
                vocab_size=config.vocab_size,
                digits=config.digits,
                special_tokens=special_tokens,
                max_bytes=config.max_bytes,
            )
        tokenizer.save(folder)
    print(f"{config.out}: {tokenizer.vocab_size:,} tokens")
    for line in describe_losses(stats.as_manifest()):
        print(line)
    return config.out


@takes_settings(TokenizerInspectConfig)
def inspect_tokenizer(config: TokenizerInspectConfig) -> None:
    """Print the tokens of a text, characters per token, and whether the round trip is exact.

    Raises:
        UserError: there is no tokenizer.
    """
    from lmcraft.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(config.tokenizer)
    data = sys.stdin.buffer.read() if config.text is None else config.text.encode("utf-8", "surrogateescape")
    ids = tokenizer.encode(data)
    table = Table("id", "token", "bytes")
    for token_id in ids:
        token = tokenizer.token_bytes(token_id)
        # repr shows white space and control characters; Text keeps rich from interpreting [markup] in a token
        table.add_row(str(token_id), Text(repr(token.decode("utf-8", "replace"))), token.hex(" "))
    characters = len(data.decode("utf-8", "replace"))
    exact = tokenizer.decode_bytes(ids, skip_special_tokens=False) == data
    summary = (
        f"{len(ids):,} tokens, {characters / max(len(ids), 1):.2f} characters per token, "
        f"{len(data) / max(len(ids), 1):.2f} bytes per token; the round trip is {'exact' if exact else 'not exact'}"
    )
    print_result(table, summary)
