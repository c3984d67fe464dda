"""Load and save model folders: config.json and safetensors in Hugging Face's format. Pickled weights are never opened."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import has_file, mismatch_error, read_json, write_json
from lmcraft.model.checkpoint import FLOATS, Checkpoint
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import family_for, family_of
from lmcraft.model.families.family import Family
from lmcraft.model.fused_experts import separate_experts
from lmcraft.model.language_part import language_config, language_model
from lmcraft.model.linear import Linear, quantized_form
from lmcraft.model.quantized_checkpoints.formats import OF_MATRICES, quantized_matrices, with_settings_file
from lmcraft.model.quantized_checkpoints.reader import DequantizingReader
from lmcraft.model.quantized_matrix import (
    QuantizedMatrix,
    quantization_config,
    to_tensors,
)
from lmcraft.model.tensor_file import save_tensors
from lmcraft.model.transformer import Embedding, Transformer

log = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_SHARD_BYTES = 5_000_000_000


def save_model(
    model: Transformer, folder: Path, token_ids: Mapping[str, Any], *, max_shard_size: int = MAX_SHARD_BYTES
) -> None:
    """Write config.json and model.safetensors, each atomically; the weights keep their dtype.

    Args:
        model: the model to save.
        folder: model folder; created if missing.
        token_ids: special token ids for config.json, such as "eos_token_id".
        max_shard_size: bytes per weights file; a larger model is split into shards with an index.

    Raises:
        UserError: the model has other tensors than its configuration describes, because a layer was replaced.
    """
    from huggingface_hub import split_torch_state_dict_into_shards

    _check_tensors(model)
    folder.mkdir(parents=True, exist_ok=True)
    family = family_for(model.config)
    dtype = _dtype_name(model.embed_tokens.weight.dtype)
    written = family.write_config(model.config)
    known_ids = {key: value for key, value in token_ids.items() if value is not None or key not in written}
    hf_config = written | known_ids | {"dtype": dtype}
    tensors = family.to_hf(model.config, {name: tensor.cpu() for name, tensor in model.state_dict().items()})
    if forms := _storable_forms(model, family):
        tensors, hf_config["quantization_config"] = _quantized_tensors(model, family, tensors, forms)
    write_json(folder / "config.json", hf_config)
    split = split_torch_state_dict_into_shards(tensors, max_shard_size=max_shard_size)
    for name, members in split.filename_to_tensors.items():
        save_tensors({member: tensors[member] for member in members}, folder / name)
    if split.is_sharded:
        write_json(folder / INDEX, {"metadata": split.metadata, "weight_map": split.tensor_to_filename})


def _check_tensors(model: Transformer) -> None:
    """Raise UserError if config.json would describe other tensors than the model has."""
    with torch.device("meta"):
        original = Transformer(model.config)
    expected = {name: tensor.shape for name, tensor in original.state_dict().items()}
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    name = next((name for name in (expected | shapes) if expected.get(name) != shapes.get(name)), "")
    if not name:
        return
    parents = [name.rsplit(".", count)[0] for count in range(name.count("."), 0, -1)]
    theirs, ours = dict(model.named_modules()), dict(original.named_modules())
    replaced = [parent for parent in parents if type(theirs.get(parent)) is not type(ours.get(parent))]
    change = f"the tensor '{name}', which config.json would not describe, or of another shape"
    if name not in shapes:
        change = f"no tensor '{name}'"
    if replaced:
        change = f"{type(theirs.get(replaced[0])).__name__} in place of '{replaced[0]}'"
    raise UserError(
        f"the model cannot be saved, since it has {change}: put the original layer back before you save, or write "
        "model.transformer.state_dict() to a file of your own"
    )


def _storable_forms(model: Transformer, family: Family) -> dict[str, QuantizedMatrix]:
    """The quantized matrices by the names of their weights; experts in one tensor have no quantized form in a folder."""
    fused = family.fused_experts(model.config)
    layers = ((f"{name}.weight", layer) for name, layer in model.named_modules())
    return {name: form for name, layer in layers if name not in fused and (form := quantized_form(layer))}


def _quantized_tensors(
    model: Transformer, family: Family, tensors: Mapping[str, Tensor], forms: Mapping[str, QuantizedMatrix]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a model some of whose matrices are quantized, and its quantization_config."""
    in_4_bits = any(form.bits == 4 for form in forms.values())
    result = dict(tensors)
    kinds = {(form.bits, form.shifts is None) for form in forms.values()}
    for kind in kinds:  # a stored matrix may hold several of ours, of one kind
        same = {name: form for name, form in forms.items() if (form.bits, form.shifts is None) == kind}
        numbers = family.to_hf(model.config, {name: form.numbers for name, form in same.items()})
        scales = family.to_hf(model.config, {name: form.scales for name, form in same.items()})
        shifts = family.to_hf(model.config, {name: form.shifts for name, form in same.items() if form.shifts is not None})
        for name in numbers:
            del result[name]
            result |= to_tensors(name, QuantizedMatrix(numbers[name], scales[name], kind[0], shifts.get(name)))

    hf_names = {ours: hf.removesuffix(".weight") for hf, stack in family.stacks(model.config) for ours in stack}
    linear = [f"{name}.weight" for name, layer in model.named_modules() if isinstance(layer, Linear)]
    ignored = [hf_names[name] for name in linear if name in hf_names and name not in forms]
    in_8_bits = [name for name, form in forms.items() if form.bits == 8]
    named = [hf_names[name] for name in in_8_bits if in_4_bits or not name.startswith("layers.")]
    own = model.embed_tokens.quantized is not None or (4, False) in kinds
    lists = [list(dict.fromkeys(names)) for names in (ignored, named)]
    return result, quantization_config(4 if in_4_bits else 8, *lists, own=own)


def load_model(folder: Path, *, dtype: torch.dtype | None = None, device: str | torch.device = "cpu") -> Transformer:
    """Load a model folder for inference (`eval` mode). On the CPU the weights are memory-mapped.

    Args:
        folder: contains config.json, and model.safetensors or its shards and index.
        dtype: dtype of weights and activations; None keeps the file's.
        device: device of the weights.

    Raises:
        UserError: a file is missing, damaged or belongs to a different model, or the weights are pickled.
    """
    with open_checkpoint(folder) as checkpoint:
        return build_model(checkpoint, dtype=dtype, device=device)


def build_model(
    checkpoint: Checkpoint, *, dtype: torch.dtype | None = None, device: str | torch.device = "cpu"
) -> Transformer:
    """Build the model of a checkpoint; arguments as in `load_model`.

    Raises:
        UserError: a tensor is missing or has no use, config.json and the weights do not match, or a dtype is not supported.
    """
    if dtype not in (None, *FLOATS, torch.float64):
        raise UserError(f"dtype={dtype!r} is not supported: use {', '.join(map(repr, FLOATS))}, or None for the file's")
    config, dtype = checkpoint.config(), dtype or checkpoint.dtype
    if unused := checkpoint.unused_tensors():
        raise _unused_error(checkpoint, config, unused)
    with torch.device("meta"):
        model = Transformer(config)
    state, buffers = model.state_dict(), dict(model.named_buffers())
    shapes = {name: tensor.shape for name, tensor in state.items()}

    def read(name: str) -> Tensor | None:
        return checkpoint.read(name) if name in checkpoint.names else None

    for name, tensor in family_of(checkpoint.hf_config).from_hf(config, read, shapes):
        if tensor.dtype not in (*FLOATS, torch.float64):
            raise _dtype_error(checkpoint, name, tensor.dtype)
        stored = torch.float32 if tensor.dtype == torch.float64 else tensor.dtype
        state[name] = tensor.to(device, stored if dtype is None or name in buffers else dtype).contiguous()
    model.load_state_dict(state, assign=True)
    if checkpoint.read_quantized is not None:
        family = family_of(checkpoint.hf_config)
        for name, quantized in family.quantized_from_hf(config, checkpoint.read_quantized, shapes):
            module = model.get_submodule(name.rpartition(".")[0])
            if isinstance(module, Linear | Embedding):
                module.quantized = quantized
    model.compute_dtype = model.embed_tokens.weight.dtype
    model.source = checkpoint.source
    return model.eval()


def _dtype_error(checkpoint: Checkpoint, name: str, dtype: torch.dtype) -> UserError:
    start = f"'{checkpoint.source}': '{name}' has the data type {_dtype_name(dtype)}"
    if dtype.is_floating_point and dtype.itemsize == 1 and not checkpoint.hf_config.get("quantization_config"):
        return UserError(
            f"{start}, but config.json has no quantization_config, which would name the scales of such numbers: get the "
            "complete config.json, or save the model in bfloat16"
        )
    return UserError(f"{start}, which is not supported; supported: {', '.join(map(_dtype_name, FLOATS))}")


def _unused_error(checkpoint: Checkpoint, config: TransformerConfig, unused: Sequence[str]) -> UserError:
    """The error for tensors that a model has no use for."""
    if marked := [name for name in unused if OF_MATRICES.fullmatch(name)]:
        return UserError(
            f"'{checkpoint.source}' has quantized matrices, such as the one of '{marked[0]}', but the quantization_config "
            "of config.json does not say so; get the config.json that belongs to these weights"
        )
    return UserError(
        f"'{checkpoint.source}' has {len(unused)} tensors that a model of type {config.family!r} with this config.json "
        f"does not use, such as '{unused[0]}': without them it would compute something else; open it with transformers, "
        "or remove them if they do not matter"
    )


def convert_weights(model: Transformer, dtype: torch.dtype) -> None:
    """Give all weights a data type, in place; quantized matrices become ordinary ones."""
    for module in model.modules():
        if isinstance(module, Linear | Embedding):
            module.quantized = None
    model.to(dtype)
    model.compute_dtype = dtype


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@contextmanager
def open_checkpoint(folder: Path) -> Iterator[Checkpoint]:
    """Open a model folder; the weights are memory-mapped.

    Raises:
        UserError: a file is missing or damaged, or the weights are pickled.
    """
    hf_config = with_settings_file(read_hf_config(folder), folder)
    # Checked first: an unsupported family is the more helpful error.
    family_of(language_config(hf_config, ()))
    with ExitStack() as stack:
        files = []
        for path in _find_weight_shards(folder):
            try:
                files.append(stack.enter_context(safe_open(path, framework="pt")))
            except (SafetensorError, OSError) as error:
                raise UserError(f"'{path}' cannot be read as safetensors ({error}); download or save it again") from error
        file_of = {name: file for file in files for name in file.keys()}  # noqa: SIM118 (not a dict)
        stored = Checkpoint(str(folder), hf_config, frozenset(file_of), lambda name: file_of[name].get_tensor(name))
        language = _dequantize(_with_current_names(language_model(stored)))
        yield separate_experts(language).with_prefix().tied_as_stored()


def _with_current_names(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint in which tensors have the names of today (`Family.renamed`)."""
    names = {name: name for name in checkpoint.names}
    for early, current in family_of(checkpoint.hf_config).renamed:
        names = {
            name.removesuffix(early) + current if name.endswith(early) else name: stored for name, stored in names.items()
        }
    if names.keys() == checkpoint.names:
        return checkpoint
    return replace(checkpoint, names=frozenset(names), read=lambda name: checkpoint.read(names[name]))


def _dequantize(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint that dequantizes its quantized matrices, if it has any, as they are read."""
    hf_config = checkpoint.hf_config
    with checkpoint.naming_config():
        matrices = quantized_matrices(hf_config, checkpoint.names, checkpoint.aliases)
    if matrices is None:
        return checkpoint
    family = family_of(hf_config)
    transposed = family.transposed_names(checkpoint.config()) if family.transposes else frozenset()
    transposed |= {name.removeprefix(family.optional_prefix) for name in transposed}
    reader = DequantizingReader(checkpoint.source, matrices, checkpoint.names, checkpoint.read, transposed)
    dtypes = {_dtype_name(dtype): dtype for dtype in FLOATS}
    dtype = dtypes.get(str(hf_config.get("dtype") or hf_config.get("torch_dtype")), torch.bfloat16)
    return Checkpoint(checkpoint.source, hf_config, reader.names, reader.read, dtype, reader.read_quantized)


def read_hf_config(folder: Path) -> dict[str, Any]:
    """Read a folder's config.json.

    Raises:
        UserError: the file is missing or damaged.
    """
    file = folder / "config.json"
    if not has_file(file):
        raise mismatch_error(folder, "model")
    return read_json(file)


def weight_files(folder: Path) -> list[Path]:
    """A folder's weight files and their index."""
    return [*folder.glob("model*.safetensors"), *folder.glob(INDEX)]


def _find_weight_shards(folder: Path) -> list[Path]:
    if has_file(folder / WEIGHTS):
        return [folder / WEIGHTS]
    index = folder / INDEX
    if has_file(index):
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise UserError(f"'{index}' has no weight_map; download or save it again")
        names = set(map(str, weight_map.values()))
        if any(Path(str(name)).name != name for name in names):
            raise UserError(f"'{index}' names a file outside its folder; it is damaged or malicious")
        if missing := [name for name in sorted(names) if not has_file(folder / name)]:
            raise UserError(f"'{folder}' lacks {missing[0]}, which {INDEX} names; download or save it again")
        return [folder / name for name in sorted(names)]
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise UserError(
            f"'{folder}' has pickled weights, which can run code when opened and are never loaded; "
            "convert them with transformers' save_pretrained"
        )
    raise UserError(f"'{folder}' is not a complete model folder: it has no {WEIGHTS}")
