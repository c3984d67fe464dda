"""Open a GGUF file as the Hugging Face checkpoint that it is another spelling of."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmcraft.gguf.architectures import architecture_of
from lmcraft.gguf.container import PLAIN, GGUFFile
from lmcraft.gguf.hf_config import read_config
from lmcraft.gguf.tensors import HFTensors
from lmcraft.gguf.vocabulary import end_token_ids, read_tokenizer, token_id_of
from lmcraft.model.families import family_of
from lmcraft.model.storage import Checkpoint
from lmcraft.tokenizer import Tokenizer


class GGUFModel:
    """A model in a GGUF file: what config.json, the weights and the tokenizer's files would say."""

    config: dict[str, Any]
    """The contents of config.json, the special tokens' ids included."""
    name: str
    license: str
    """As the file has them (`general.name`, `general.license`); empty: not said."""

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
        """A tensor under Hugging Face's name, None if there is none: what `Family.from_hf` asks for.

        F32, F16 and BF16 keep their type and may look into the file's memory map; quantized tensors become float32, one at
        a time.

        Raises:
            UserError: its shape makes no sense.
        """
        return self._tensors.read(hf_name)

    @cached_property
    def dtype(self) -> torch.dtype:
        """One type for the whole model: that of its matrices if they have one, else float32."""
        kinds = {entry.type.name for entry in self.file.tensors.values() if len(entry.shape) > 1}
        wide = kinds - {"F32"} or kinds
        return PLAIN[wide.pop()][1] if len(wide) == 1 and wide <= set(PLAIN) else torch.float32

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The same as what a model folder opens as."""
        names = self._tensors.names(weight.hf for weight in family_of(self.config).weights)

        def read(name: str) -> Tensor:
            tensor = self.read(name)
            assert tensor is not None, name
            return tensor

        return Checkpoint(str(self.file.path), self.config, names, read, self.dtype)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; made when it is first asked for, which takes a few seconds for a large vocabulary.

        Raises:
            UserError: there is none, it is damaged, or of a kind that is not known here.
        """
        return read_tokenizer(self.file.metadata)

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return end_token_ids(self.file.metadata)


def read_gguf(path: str | Path) -> GGUFModel:
    """Open a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) of a known architecture.

    Weights stay in the file until they are read.

    Raises:
        UserError: there is no such file, it is damaged or cut off, or holds what is not known here; the package `gguf` is
            not installed.
    """
    return GGUFModel(GGUFFile(path))


@contextmanager
def open_gguf(path: str | Path) -> Iterator[GGUFModel]:
    """`read_gguf` for a `with` statement; tensors that look into the file outlive it.

    Raises:
        UserError: as in `read_gguf`.
    """
    yield read_gguf(path)
