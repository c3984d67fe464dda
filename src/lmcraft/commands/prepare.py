"""`lmcraft prepare`: text becomes a dataset folder of token shards, or what people said in a chat a folder of examples."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lmcraft.config import Config, as_dict, command_config
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmcraft.data import Document
    from lmcraft.tokenizer import Tokenizer


@command_config
@dataclass(frozen=True)
class PrepareConfig(Config):
    """What to read, how to cut it into tokens, and where to put them."""

    sources: tuple[str, ...] = ()
    """Files (text, code, .jsonl, .json, .parquet; .gz and .zst too), folders, patterns, or hf:owner/name."""

    _: KW_ONLY

    out: Path
    """The dataset folder to write."""

    from_store: str | None = None
    """Instead of sources: the conversations of `lmcraft serve` (chats.sqlite, or postgresql://...), as data for finetune."""

    tokenizer: Path | None = None
    """A tokenizer or model folder to use; without it, one is trained on the text first."""

    tokenizer_type: Literal["bpe", "characters"] = "bpe"
    """What to train: byte-level BPE, or one token for each character."""

    vocab_size: int = 8192
    """How many tokens to train (BPE)."""

    digits: int = 1
    """The longest run of digits that can be one token (BPE); 0 for no limit."""

    validation: float = 0.05
    """The share of the text that is kept for validation."""

    split: Literal["hash", "tail"] | None = None
    """How to choose it: by a hash of each document, or the end of the text. Left out: "tail" for one text file."""

    document_chars: int = 1_000_000
    """Longer texts are cut into documents of at most this many characters."""

    text_field: str = "text"
    """Where the rows of .jsonl, .json, .parquet and datasets have their text."""

    malformed: Literal["skip", "fail"] = "skip"
    """What to do with a row that cannot be used: count it and go on, or stop."""

    include: tuple[str, ...] = ()
    """Which files of folders to read, such as "*.py"; left out, all text files."""

    exclude: tuple[str, ...] = ()
    """Which files of folders to leave out."""

    overwrite: bool = False
    """Replace the dataset folder if there is one."""

    def resolved(self) -> PrepareConfig:
        if self.from_store is not None and self.sources:
            raise UserError(f"sources ({', '.join(self.sources)}) and from_store exclude each other: give one of them")
        if self.from_store is None and not self.sources:
            raise UserError("sources is empty, so there is nothing to read: give files or folders, or `--from-store STORE`")
        if self.split is not None or self.from_store is not None:
            return self
        from lmcraft.data.formats import has_rows

        # Of one text the end is what was not seen yet; a hash would need it cut into many documents first.
        only = Path(self.sources[0]).expanduser() if len(self.sources) == 1 else None
        return replace(self, split="tail" if only and only.is_file() and not has_rows(only) else "hash")


def prepare(config: PrepareConfig) -> DatasetFolder:
    """Turn text into token shards that can be trained on, or a store of conversations into examples to tune on.

    Returns:
        The folder that was written. One of examples has files for `lmcraft finetune`, which its manifest counts; no tokens.

    Raises:
        UserError: a source cannot be read, the folder exists already, or a split would be empty.
    """
    config = config.resolved()
    _check_out(config)
    return _from_store(config.from_store, config.out) if config.from_store is not None else _from_text(config)


def _from_store(where: str, out: Path) -> DatasetFolder:
    from lmcraft.data.formats import import_optional

    import_optional("sqlalchemy", "serve", "from_store")
    from lmcraft.server.conversations.exporter import FILE_KINDS, export_examples
    from lmcraft.server.conversations.store import Store

    store = Store.open(where, create=False)
    try:
        counts = export_examples(store, out)
    finally:
        store.close()
    for name, rows in counts.items():
        print(f"{out / name}: {rows:,} {FILE_KINDS[name]}")
    left_out = DatasetFolder(out).manifest()["left_out"]
    for why, rows in left_out.items():
        print(f"  left out: {rows:,} ({why})")
    print(f"next: lmcraft finetune MODEL {out / next(iter(counts))}")
    return DatasetFolder(out)


def _from_text(config: PrepareConfig) -> DatasetFolder:
    from lmcraft.data import read_documents, write_dataset

    assert config.split is not None
    read = partial(
        read_documents,
        config.sources,
        text_field=config.text_field,
        malformed=config.malformed,
        document_chars=config.document_chars,
        include=config.include,
        exclude=config.exclude,
    )
    tokenizer = _tokenizer(config, read)
    dataset = write_dataset(
        config.out,
        lambda stats: read(stats=stats),
        encode_batch=tokenizer.encode_batch,
        save_tokenizer=tokenizer.save,
        vocab_size=tokenizer.vocab_size,
        eos_token_id=tokenizer.eos_token_id,
        validation=config.validation,
        split=config.split,
        settings=as_dict(config),
    )
    _print_summary(dataset)
    return dataset


def _check_out(config: PrepareConfig) -> None:
    out = config.out
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not config.overwrite:
        raise UserError(f"out '{out}' exists already: name another folder, or replace it with `--overwrite`")
    if not DatasetFolder(out).manifest_file.is_file():
        raise UserError(f"out '{out}' is not a dataset folder, so it is not overwritten: name another folder")


def _tokenizer(config: PrepareConfig, read: Callable[..., Iterator[Document]]) -> Tokenizer:
    from lmcraft.data import ReadStats, show_progress
    from lmcraft.tokenizer import Tokenizer, train_bpe, train_characters

    if config.tokenizer is not None:
        return Tokenizer.load(config.tokenizer)
    stats = ReadStats()
    texts = (document.text for document in show_progress(read(stats=stats), stats, "training a tokenizer"))
    if config.tokenizer_type == "characters":
        return train_characters(texts)
    return train_bpe(texts, vocab_size=config.vocab_size, digits=config.digits)


def _print_summary(dataset: DatasetFolder) -> None:
    manifest: dict[str, Any] = dataset.manifest()
    print(f"{dataset.path}: vocabulary of {manifest['vocab_size']:,} tokens")
    for name, split in manifest["splits"].items():
        rate = split["bytes"] / max(split["tokens"], 1)
        print(f"  {name}: {split['documents']:,} documents, {split['tokens']:,} tokens, {rate:.2f} bytes per token")
    if manifest["invalid_bytes"]:
        print(f"  {manifest['invalid_bytes']:,} bytes were not UTF-8 and became U+FFFD")
    malformed = manifest["malformed"]
    if malformed["count"]:
        print(f"  {malformed['count']:,} malformed rows were left out:")
        for row in malformed["first"]:
            print(f"    {row['file']}:{row['line']}: {row['reason']}")
        if malformed["count"] > len(malformed["first"]):
            print("    ...")
