"""Open a GGUF file as the Hugging Face checkpoint that it is another spelling of."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmcraft.gguf.architectures import architecture_of
from lmcraft.gguf.config import EMBEDDING, read_config
from lmcraft.gguf.file import PLAIN, GGUFFile
from lmcraft.gguf.tensors import HFTensors
from lmcraft.gguf.vocabulary import end_token_ids, read_tokenizer
from lmcraft.tokenizer import Tokenizer


class Checkpoint:
    """A model in a GGUF file: what config.json, the weights and the tokenizer's files would say."""

    config: dict[str, Any]
    """The contents of config.json, the special tokens' ids included; `eos_token_id` is a list where several end a text."""
    name: str | None
    license: str | None
    """As the file has them (`general.name`, `general.license`)."""

    def __init__(self, file: GGUFFile) -> None:
        self.file = file
        arch = architecture_of(file)
        self.config = read_config(file)
        self._tensors = HFTensors(file, arch, self.config)
        self.config |= self._token_ids()
        self.name = file.metadata.text("general.name")
        self.license = file.metadata.text("general.license")

    def read(self, hf_name: str) -> Tensor | None:
        """A tensor under Hugging Face's name, None if there is none: what `Family.from_hf` asks for.

        F32, F16 and BF16 keep their type and may look into the file's memory map; quantised tensors become float32, one at
        a time.

        Raises:
            UserError: its shape makes no sense.
        """
        return self._tensors.read(hf_name)

    @property
    def dtype(self) -> torch.dtype:
        """The embedding's type as `read` gives it: one type for a model whose norms are float32 in every file."""
        kind = self.file.tensors[EMBEDDING].type.name
        return PLAIN[kind][1] if kind in PLAIN else torch.float32

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; made when it is first asked for, which takes a few seconds for a large vocabulary.

        Raises:
            UserError: there is none, it is damaged, or of a kind that is not known here.
        """
        return read_tokenizer(self.file.metadata)

    def _token_ids(self) -> dict[str, Any]:
        metadata = self.file.metadata
        found: dict[str, Any] = {}
        for role, name in (("bos", "bos"), ("pad", "padding")):
            key = f"tokenizer.ggml.{name}_token_id"
            if metadata.get(key) not in (None, -1, 2**32 - 1):
                found[f"{role}_token_id"] = metadata.count(key)
        if ends := end_token_ids(metadata):
            found["eos_token_id"] = ends[0] if len(ends) == 1 else ends
        return found


def read_gguf(path: str | Path) -> Checkpoint:
    """Open a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) of a known architecture.

    Weights stay in the file until they are read.

    Raises:
        UserError: there is no such file, it is damaged or cut off, or holds what is not known here; the package `gguf` is not
            installed.
    """
    return Checkpoint(GGUFFile(path))
