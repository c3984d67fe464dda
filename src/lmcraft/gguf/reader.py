"""Open a GGUF file as a Hugging Face checkpoint with a tokenizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmcraft.gguf.architectures import architecture_of
from lmcraft.gguf.container import UNQUANTIZED, GGUFFile
from lmcraft.gguf.hf_config import read_config
from lmcraft.gguf.tensors import HFTensors
from lmcraft.gguf.vocabulary import end_token_ids, read_tokenizer, token_id_of
from lmcraft.model.checkpoint import Checkpoint
from lmcraft.model.families import family_of
from lmcraft.tokenizer import Tokenizer


class GGUFModel:
    """A model in a GGUF file, with config.json, weights and tokenizer in Hugging Face's form."""

    config: dict[str, Any]
    """The contents of config.json, including special token ids."""
    name: str
    license: str
    """From `general.name` and `general.license`; empty if missing."""

    def __init__(self, file: GGUFFile) -> None:
        self.file = file
        self.config = read_config(file)
        self._tensors = HFTensors(file, architecture_of(file), self.config)
        for role, name in (("bos", "bos"), ("pad", "padding")):
            if (token_id := token_id_of(file.metadata, name)) is not None:
                self.config[f"{role}_token_id"] = token_id
        if ends := self.eos_token_ids:
            self.config["eos_token_id"] = ends[0] if len(ends) == 1 else list(ends)
        self.name = file.metadata.text("general.name") or ""
        self.license = file.metadata.text("general.license") or ""

    def read(self, hf_name: str) -> Tensor | None:
        """Read a tensor by its Hugging Face name; None if it does not exist.

        F32, F16 and BF16 keep their dtype and may view the memory map; quantized tensors are dequantized to float32.

        Raises:
            UserError: its shape is invalid.
        """
        return self._tensors.read(hf_name)

    @cached_property
    def dtype(self) -> torch.dtype:
        """One dtype for the whole model: that of its matrices if they share one, else float32."""
        kinds = {entry.type.name for entry in self.file.tensors.values() if len(entry.shape) > 1}
        kinds = kinds - {"F32"} or kinds
        return UNQUANTIZED[kinds.pop()][1] if len(kinds) == 1 and kinds <= set(UNQUANTIZED) else torch.float32

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The model as a checkpoint, as `open_checkpoint` returns for a model folder."""
        family = family_of(self.config)
        names = self._tensors.names(name for name, _ in family.stacks(family.read_config(self.config)))

        def read(name: str) -> Tensor:
            tensor = self.read(name)
            assert tensor is not None, name
            return tensor

        return Checkpoint(str(self.file.path), self.config, names, read, self.dtype)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; built on first access, which takes a few seconds for a large vocabulary.

        Raises:
            UserError: the tokenizer is missing, damaged or not supported.
        """
        return read_tokenizer(self.file.metadata)

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return end_token_ids(self.file.metadata)


def read_gguf(path: str | Path) -> GGUFModel:
    """Open a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md); the weights are memory-mapped.

    Raises:
        UserError: the file does not exist, is damaged or not supported, or the package `gguf` is not installed.
    """
    return GGUFModel(GGUFFile(path))


@contextmanager
def open_gguf(path: str | Path) -> Iterator[GGUFModel]:
    """`read_gguf` as a context manager; tensors that view the file stay valid afterwards.

    Raises:
        UserError: as in `read_gguf`.
    """
    yield read_gguf(path)
