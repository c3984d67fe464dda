"""Models on disk: config.json and safetensors in Hugging Face's names. Pickled weights are never opened."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import atomic_write, write_json
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import family_for, family_of
from lmcraft.model.families.family import Family
from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import (
    Bits,
    QuantizedMatrix,
    from_tensors,
    quantization_bits,
    quantization_config,
    to_tensors,
)
from lmcraft.model.transformer import Transformer

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_SHARD_SIZE = 5_000_000_000  # bytes


@dataclass(frozen=True)
class Checkpoint:
    """A model as Hugging Face describes it, wherever it comes from."""

    source: str
    """Where it is, for messages."""
    hf_config: Mapping[str, Any]
    """The contents of config.json."""
    names: frozenset[str]
    """The tensors that there are."""
    read: Callable[[str], Tensor]
    """One of them."""
    dtype: torch.dtype | None = None
    """The type to load all of them in, where they have several; None: each in its own."""
    read_quantized: Callable[[str], QuantizedMatrix | None] | None = None
    """What `read` made one of, where it is quantized in the folder."""

    def config(self) -> TransformerConfig:
        """What it is made of, in our words.

        Raises:
            UserError: it is of no family that we know, or damaged.
        """
        config = family_of(self.hf_config).read_config(self.hf_config)
        layers = config.num_hidden_layers
        # Before so many are built: the numbers may be a stranger's.
        if layers > len(self.names) or config.num_experts * sum(map(config.has_experts, range(layers))) > len(self.names):
            raise UserError(
                f"'{self.source}' has {len(self.names)} tensors, too few for num_hidden_layers={layers} "
                f"(num_experts={config.num_experts}): config.json and the weights are not of one model"
            )
        return config


def save_model(
    model: Transformer, folder: Path, token_ids: Mapping[str, Any], *, max_shard_size: int = MAX_SHARD_SIZE
) -> None:
    """Write config.json and model.safetensors, each whole or not at all; the weights keep their type.

    Args:
        model: what to save.
        folder: where; made if it is not there.
        token_ids: the tokenizer's special ids for config.json: "eos_token_id" and the like.
        max_shard_size: in bytes; a larger model is written in several files with an index.
    """
    from huggingface_hub import split_torch_state_dict_into_shards

    folder.mkdir(parents=True, exist_ok=True)
    family = family_for(model.config)
    dtype = str(model.embed_tokens.weight.dtype).removeprefix("torch.")
    hf_config = family.write_config(model.config) | dict(token_ids) | {"dtype": dtype}
    tensors = family.to_hf(model.config, model.state_dict())
    if quantized := {f"{name}.weight": m.quantized for name, m in model.named_modules() if getattr(m, "quantized", None)}:
        hf_config["quantization_config"] = quantization_config(next(iter(quantized.values())).bits)
        tensors = _with_quantized(tensors, family, model.config, quantized)
    write_json(folder / "config.json", hf_config)
    split = split_torch_state_dict_into_shards(tensors, max_shard_size=max_shard_size)
    for name, members in split.filename_to_tensors.items():
        with atomic_write(folder / name) as temporary:
            save_file({member: tensors[member] for member in members}, temporary, metadata={"format": "pt"})
            temporary.chmod(0o644)  # safetensors makes files that only their owner can read
    if split.is_sharded:
        write_json(folder / INDEX, {"metadata": split.metadata, "weight_map": split.tensor_to_filename})


def _with_quantized(
    tensors: dict[str, Tensor], family: Family, config: TransformerConfig, quantized: Mapping[str, QuantizedMatrix]
) -> dict[str, Tensor]:
    numbers = family.to_hf(config, {name: matrix.numbers for name, matrix in quantized.items()})
    scales = family.to_hf(config, {name: matrix.scales for name, matrix in quantized.items()})
    bits = next(iter(quantized.values())).bits
    plain = {name: tensor for name, tensor in tensors.items() if name not in numbers}
    for name in numbers:
        plain |= to_tensors(name, QuantizedMatrix(numbers[name], scales[name], bits))
    return plain


def load_model(folder: Path, *, dtype: torch.dtype | None = None, device: str | torch.device = "cpu") -> Transformer:
    """Read a model folder, ready for inference (`eval` mode). On a CPU the weights stay in the file until they are used.

    Args:
        folder: holds config.json, and model.safetensors or its shards with their index.
        dtype: the type of weights and activations; None keeps the file's.
        device: where the weights go.

    Raises:
        UserError: a file is missing, damaged or of another model; the weights are pickled.
    """
    with open_checkpoint(folder) as checkpoint:
        return build_model(checkpoint, dtype=dtype, device=device)


def build_model(
    checkpoint: Checkpoint, *, dtype: torch.dtype | None = None, device: str | torch.device = "cpu"
) -> Transformer:
    """The model of a checkpoint, as `load_model` gives it.

    Raises:
        UserError: a tensor is missing, or config.json and the weights do not fit together.
    """
    config, dtype = checkpoint.config(), dtype or checkpoint.dtype
    with torch.device("meta"):
        model = Transformer(config)
    state = model.state_dict()
    shapes = {name: tensor.shape for name, tensor in state.items()}

    def read(name: str) -> Tensor | None:
        return checkpoint.read(name) if name in checkpoint.names else None

    for name, tensor in family_of(checkpoint.hf_config).from_hf(config, read, shapes):
        state[name] = tensor.to(device, dtype or tensor.dtype).contiguous()
    model.load_state_dict(state, assign=True)
    if checkpoint.read_quantized is not None:
        family = family_of(checkpoint.hf_config)
        for name, quantized in family.quantized_from_hf(config, checkpoint.read_quantized, shapes):
            module = model.get_submodule(name.removesuffix(".weight"))
            assert isinstance(module, Linear)
            module.quantized = quantized
    model.compute_dtype = model.embed_tokens.weight.dtype
    return model.eval()


@contextmanager
def open_checkpoint(folder: Path) -> Iterator[Checkpoint]:
    """A model folder's configuration and weights, which are mapped into memory, not read.

    Raises:
        UserError: a file is missing or damaged; the weights are pickled.
    """
    hf_config = read_hf_config(folder)
    family_of(hf_config)  # an unknown family is the more telling error where the weights cannot be opened either
    with ExitStack() as stack:
        files = []
        for path in _weight_files(folder):
            try:
                files.append(stack.enter_context(safe_open(path, framework="pt")))
            except (SafetensorError, OSError) as error:
                raise UserError(f"'{path}' cannot be read as safetensors ({error}): fetch or save it again") from error
        where = {name: file for file in files for name in file.keys()}  # noqa: SIM118 (not a dict)
        plain = Checkpoint(str(folder), hf_config, frozenset(where), lambda name: where[name].get_tensor(name))
        bits = quantization_bits(hf_config)
        yield _dequantized(plain, bits) if bits else plain


def _dequantized(checkpoint: Checkpoint, bits: Bits) -> Checkpoint:
    """A checkpoint whose quantized matrices are read as what they stand for."""
    quantized = {name.removesuffix("_scale") for name in checkpoint.names if name.endswith("weight_scale")}

    def read_quantized(name: str) -> QuantizedMatrix | None:
        if name not in quantized:
            return None
        try:
            return from_tensors(name, bits, checkpoint.read)
        except (SafetensorError, RuntimeError, LookupError) as error:
            raise UserError(f"'{checkpoint.source}': the quantized '{name}' is damaged ({error}): fetch it again") from error

    def read(name: str) -> Tensor:
        matrix = read_quantized(name)
        return matrix.dequantize() if matrix else checkpoint.read(name)

    dtype = getattr(torch, str(checkpoint.hf_config.get("dtype")), torch.bfloat16)
    names = checkpoint.names | quantized
    return Checkpoint(checkpoint.source, checkpoint.hf_config, names, read, dtype, read_quantized)


def read_hf_config(folder: Path) -> dict[str, Any]:
    """The contents of a folder's config.json.

    Raises:
        UserError: there is none, or it is damaged.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise UserError(f"'{folder}' is not a model folder: it has no config.json")
    try:
        hf_config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{file}' is not JSON: {error}") from error
    if not isinstance(hf_config, dict):
        raise UserError(f"'{file}' is not a JSON object: fetch or save it again")
    return hf_config


def weight_files(folder: Path) -> list[Path]:
    """All files of a folder that hold weights, or say which does."""
    return [*folder.glob("model*.safetensors"), *folder.glob(INDEX)]


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / INDEX
    if index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"'{index}' cannot be read ({error}): fetch or save it again") from error
        if any(Path(str(name)).name != name for name in names):
            raise UserError(f"'{index}' names a file outside its folder: it is damaged or hostile")
        return [folder / name for name in sorted(names)]
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise UserError(
            f"'{folder}' holds pickled weights, which can run code when opened and are never loaded: "
            "convert them with transformers' save_pretrained"
        )
    raise UserError(f"'{folder}' has no {WEIGHTS}: it is not a whole model folder")
