"""A model in Hugging Face's format: its config.json, and its tensors by name."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import family_of
from lmcraft.model.quantized_matrix import QuantizedMatrix

log = logging.getLogger(__name__)

FLOATS = (torch.float32, torch.float16, torch.bfloat16)

# Buffers of older releases, and heads for other tasks, which the language model does not need.
IGNORED = re.compile(
    r".*(\.rotary_emb\.inv_freq|\.attn\.(masked_)?bias|\.attention\.(masked_)?bias)|(score|classifier|v_head)\..*"
)
MAX_FUSED_EXPERTS = 2**16  # of all layers, where a tensor holds many
COMPARED_ROWS = 4096  # rows of two matrices that are compared at a time


@dataclass(frozen=True)
class Checkpoint:
    """A model in Hugging Face's format, from a folder, a GGUF file or a merged adapter."""

    source: str
    """Its location, for messages."""
    hf_config: Mapping[str, Any]
    """The contents of config.json."""
    names: frozenset[str]
    """Names of its tensors."""
    read: Callable[[str], Tensor]
    """Reads a tensor by name."""
    dtype: torch.dtype | None = None
    """Common dtype to load the tensors in; None: each tensor's own."""
    read_quantized: Callable[[str], QuantizedMatrix | None] | None = None
    """Reads the quantized form of a tensor; None if it is not quantized."""
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The names by which config.json knows tensors that have others here."""

    def config(self) -> TransformerConfig:
        """The model configuration, translated from config.json.

        Raises:
            UserError: the model family is not supported, or config.json is damaged.
        """
        with self.naming_config():
            config = family_of(self.hf_config).read_config(self.hf_config)
        layers = config.num_hidden_layers
        # Checked before anything is built: config.json is untrusted.
        experts = config.num_experts * sum(map(config.has_experts, range(layers)))
        fused = any(weight.stacks_experts for weight in family_of(self.hf_config).weights)
        if layers > len(self.names) or experts > (MAX_FUSED_EXPERTS if fused else len(self.names)):
            raise UserError(
                f"'{self.source}' has {len(self.names)} tensors, too few for num_hidden_layers={layers} "
                f"(num_experts={config.num_experts}); config.json and the weights belong to different models"
            )
        return config

    @contextmanager
    def naming_config(self) -> Iterator[None]:
        """Name the folder or file in errors, which begin with "config.json"."""
        try:
            yield
        except UserError as error:
            source = Path(self.source)
            file = source / "config.json" if source.is_dir() else source
            raise UserError(f"'{file}'{str(error).removeprefix('config.json')}") from error

    def vocabulary_tensors(self) -> tuple[str, str]:
        """The names of the embedding and the output projection, also if these are tied; an encoder has the first alone.

        Raises:
            UserError: as in `config`.
        """
        config, family = replace(self.config(), tie_word_embeddings=False), family_of(self.hf_config)
        names = {ours[0]: hf for hf, ours in family.stacks(config) if len(ours) == 1}
        return names["embed_tokens.weight"], names.get("lm_head.weight", names["embed_tokens.weight"])

    def tied_as_stored(self) -> "Checkpoint":
        """The same checkpoint, with an output projection of its own if it stores one that differs from the embedding.

        config.json may say that the two are tied nevertheless; transformers follows the tensors too.

        Raises:
            UserError: as in `config`.
        """
        config = self.config()
        if not config.tie_word_embeddings or config.bidirectional:
            return self
        embedding, output = self.vocabulary_tensors()
        headless = embedding.removeprefix(family_of(self.hf_config).optional_prefix)
        embedding = embedding if embedding in self.names else headless
        if output not in self.names:
            return self
        if embedding not in self.names:  # one of two tied tensors is enough, whichever it is
            return replace(
                self,
                names=self.names | {embedding},
                read=lambda name: self.read(output if name == embedding else name),
            )
        if _are_equal(self.read(embedding), self.read(output)):
            return self
        log.warning(
            "'%s': config.json ties the output projection to the embedding, but '%s' differs from it and is used, as "
            'transformers does; write "tie_word_embeddings": false there',
            *(self.source, output),
        )
        return replace(self, hf_config={**self.hf_config, "tie_word_embeddings": False})

    def with_prefix(self) -> "Checkpoint":
        """The same checkpoint under the family's names, if it leaves out their prefix, as headless models do.

        Raises:
            UserError: as in `config`.
        """
        family = family_of(self.hf_config)
        full = {name for name, _ in family.stacks(self.config())} - self.names
        headless = {name: name.removeprefix(family.optional_prefix) for name in full}
        headless = {name: stored for name, stored in headless.items() if stored in self.names}
        if not headless:
            return self
        read_quantized = self.read_quantized
        return replace(
            self,
            names=self.names - set(headless.values()) | headless.keys(),
            read=lambda name: self.read(headless.get(name, name)),
            read_quantized=read_quantized and (lambda name: read_quantized(headless.get(name, name))),
        )

    def unused_tensors(self) -> list[str]:
        """Names of tensors that the model has no use for, although they may change what it computes.

        Biases of zeros change nothing; AutoGPTQ writes them for layers that have none.

        Raises:
            UserError: as in `config`.
        """
        family = family_of(self.hf_config)
        untied = replace(self.config(), tie_word_embeddings=False)  # a tied output projection may be stored as well
        used = {name for name, _ in family.stacks(untied)} | {*family.unneeded(untied)}
        used |= {name.removeprefix(family.optional_prefix) for name in used}
        left_out = re.compile(family.unused or "$^")
        others = [name for name in self.names - used if not (IGNORED.fullmatch(name) or left_out.fullmatch(name))]
        return sorted(name for name in others if not name.endswith(".bias") or bool(self.read(name).any()))


def _are_equal(first: Tensor, second: Tensor) -> bool:
    """Whether two matrices are equal; reads them up to the first difference."""
    if first.shape != second.shape:
        return False
    dtype = first.dtype if first.dtype == second.dtype and first.dtype in FLOATS else torch.float64
    pairs = zip(torch.split(first, COMPARED_ROWS), torch.split(second, COMPARED_ROWS), strict=True)
    return all(torch.equal(ours.to(dtype), theirs.to(dtype)) for ours, theirs in pairs)
