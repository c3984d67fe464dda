"""Models on disk: config.json and safetensors in Hugging Face's names. Pickled weights are never opened."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import write_json, written_whole
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families import family_for, family_of
from lmcraft.model.transformer import Transformer

WEIGHTS = "model.safetensors"


def save_model(model: Transformer, folder: Path, token_ids: Mapping[str, int | None]) -> None:
    """Write config.json and model.safetensors, each whole or not at all; the weights keep their type.

    `token_ids` are the tokenizer's special ids for config.json: "eos_token_id" and the like.
    """
    folder.mkdir(parents=True, exist_ok=True)
    family = family_for(model.config)
    dtype = str(model.embed_tokens.weight.dtype).removeprefix("torch.")
    write_json(folder / "config.json", family.write_config(model.config) | dict(token_ids) | {"dtype": dtype})
    with written_whole(folder / WEIGHTS) as temporary:
        save_file(family.to_hf(model.config, model.state_dict()), temporary, metadata={"format": "pt"})
        temporary.chmod(0o644)  # safetensors makes files that only their owner can read


def load_model(folder: Path, *, dtype: torch.dtype | None = None, device: str | torch.device = "cpu") -> Transformer:
    """Read a model folder, ready for inference (`eval` mode).

    Args:
        folder: holds config.json, and model.safetensors or its shards with their index.
        dtype: the type of weights and activations; None keeps the file's.
        device: where the weights go.

    Raises:
        UserError: a file is missing, damaged or of another model; the weights are pickled.
    """
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise UserError(f"'{folder}' is not a model folder: it has no config.json")
    try:
        hf_config = json.loads(config_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{config_file}' is not JSON: {error}") from error
    family = family_of(hf_config)
    config = family.read_config(hf_config)
    with ExitStack() as stack:
        files = []
        for path in _weight_files(folder):
            try:
                files.append(stack.enter_context(safe_open(path, framework="pt", device=str(device))))
            except (SafetensorError, OSError) as error:
                raise UserError(f"'{path}' cannot be read as safetensors ({error}): fetch or save it again") from error
        where = {name: file for file in files for name in file.keys()}  # noqa: SIM118 (not a dict)
        _check_number(config, len(where), folder)
        with torch.device("meta"):
            model = Transformer(config)
        state = model.state_dict()
        shapes = {name: tensor.shape for name, tensor in state.items()}

        def read(name: str) -> Tensor | None:
            return where[name].get_tensor(name) if name in where else None

        for name, tensor in family.from_hf(config, read, shapes):
            state[name] = tensor.to(dtype) if dtype else tensor.contiguous()
    model.load_state_dict(state, assign=True)
    model.compute_dtype = model.embed_tokens.weight.dtype
    return model.eval()


def _check_number(config: TransformerConfig, tensors: int, folder: Path) -> None:
    """Raise UserError if a damaged config.json asks for far more layers than there are tensors: before they are built."""
    layers = config.num_hidden_layers
    if layers > tensors or config.num_experts * sum(map(config.has_experts, range(layers))) > tensors:
        raise UserError(
            f"'{folder}' has {tensors} tensors, too few for num_hidden_layers={layers} (num_experts={config.num_experts}): "
            "config.json and the weights are not of one model"
        )


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / f"{WEIGHTS}.index.json"
    if index.is_file():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if any(Path(name).name != name for name in names):
            raise UserError(f"'{index}' names a file outside its folder: it is damaged or hostile")
        return [folder / name for name in sorted(names)]
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise UserError(
            f"'{folder}' holds pickled weights, which can run code when opened and are never loaded: "
            "convert them with transformers' save_pretrained"
        )
    raise UserError(f"'{folder}' has no {WEIGHTS}: it is not a whole model folder")
