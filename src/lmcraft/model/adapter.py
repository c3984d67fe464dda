"""Adapters in PEFT's format: read, save, and merge into the base model. LoRA (arXiv 2106.09685), DoRA (arXiv 2402.09353).

Shapes: I inputs and O outputs of a layer, r rank.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import has_file, read_json, write_json
from lmcraft.model.checkpoint import Checkpoint
from lmcraft.model.families import family_of
from lmcraft.model.quantized_matrix import QuantizedMatrix, quantize_groups, quantize_rows
from lmcraft.model.tensor_file import save_tensors

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
MAGNITUDE = ".lora_magnitude_vector"
LOW_RANK_PARTS = (".lora_A.weight", ".lora_B.weight", MAGNITUDE)
HEAD = "score.weight"  # a classifier's head, which is not part of the language model
OUR_TYPE = "LMCRAFT"  # the peft_type of LoRA whose model no class of PEFT has, so that PEFT refuses it
BASE_WEIGHTS = "lmcraft_base_weights"  # our own config key: "int8" or "int4" if the base was quantized during training
# Keys of adapter_config.json that are read here, or that change nothing in an adapter that is trained. Any other key that is
# set, such as `lora_bias`, stands for a feature that is not supported.
READ_KEYS = {"peft_type", "base_model_name_or_path", "r", "lora_alpha", "lora_dropout", "rank_pattern", "alpha_pattern"}
READ_KEYS |= {"fan_in_fan_out", "use_rslora", "use_dora", "init_lora_weights", "ensure_weight_tying", BASE_WEIGHTS}
NEUTRAL_KEYS = {"task_type", "auto_mapping", "peft_version", "revision", "inference_mode", "target_modules"}
NEUTRAL_KEYS |= {"exclude_modules", "modules_to_save", "layers_to_transform", "layers_pattern", "megatron_core"}
NEUTRAL_KEYS |= {"loftq_config", "eva_config", "corda_config", "lora_ga_config", "velora_config", "qalora_group_size"}
NEUTRAL_KEYS |= {"runtime_config"}
# Values of init_lora_weights that leave the base model as it is, and those whose change of it can be computed again.
PLAIN_INITS = (True, False, "gaussian", "eva", "orthogonal", "mica")
RESIDUAL_INITS = ("pissa", "olora")
# What PEFT's merge_and_unload merges exactly, and what only under a condition.
MERGEABLE = re.compile(
    r"IA3|LOHA|VERA|LN_TUNING|ADALORA|TRAINABLE_TOKENS|bias=.*|target_parameters|trainable_token_indices"
    r"|init_lora_weights=.*|the regular expression .*",
    re.DOTALL,
)
MERGEABLE_IF = {
    r"lora_bias|.*\.lora_B\.bias": "the layers that it changes have a bias",
    r".*\.lora_embedding_[AB].*": "the base model's tie_word_embeddings is false",
}

_PATTERN = re.compile(r"\^?(\w|\\?\.)+")  # a name of PEFT's patterns that is not a regular expression


@dataclass(frozen=True)
class Adapter:
    """W + scale * B A for some of the base model's matrices W, and full replacements for others (PEFT's modules_to_save).

    With DoRA, each row of that sum is rescaled to the learned magnitude.
    """

    folder: Path
    config: Mapping[str, Any]
    """The contents of adapter_config.json."""
    tensors: Mapping[str, Tensor]
    """Tensors by PEFT's names, without its prefix."""

    @property
    def base(self) -> str:
        """The address of the base model."""
        return str(self.config.get("base_model_name_or_path") or "")

    @property
    def keeps_residual(self) -> bool:
        """Whether it was trained on the base model minus its own first values (PiSSA, OLoRA)."""
        return self.config.get("init_lora_weights") in RESIDUAL_INITS

    def scale(self, module: str) -> float:
        """A module's scale: alpha / r, or alpha / sqrt(r) with rsLoRA (arXiv 2312.03732)."""
        rank = len(self.tensors[f"{module}.lora_A.weight"])
        alpha = _pattern_value(self.config.get("alpha_pattern"), module, self.config.get("lora_alpha"))
        return float(alpha / (sqrt(rank) if self.config.get("use_rslora") else rank))

    @property
    def modules(self) -> list[str]:
        """Names of the base model's layers that get a low-rank update."""
        return sorted(name.partition(".lora_A")[0] for name in self.tensors if ".lora_A" in name)

    @property
    def replaced_tensors(self) -> list[str]:
        """Names of the base model's tensors that are replaced in full."""
        return sorted(name for name in self.tensors if ".lora_" not in name and name != HEAD)

    def low_rank(self, module: str) -> tuple[Tensor, Tensor, Tensor | None]:
        """A module's A (r, I), B (O, r) and, with DoRA, its magnitudes (O,)."""
        magnitude = self.tensors.get(module + MAGNITUDE)
        return self.tensors[f"{module}.lora_A.weight"], self.tensors[f"{module}.lora_B.weight"], magnitude

    def merge_into(self, checkpoint: Checkpoint) -> Checkpoint:
        """The base model's checkpoint, with the adapter applied to each tensor as it is read.

        Raises:
            UserError: the adapter changes a tensor that the base model does not have.
        """
        modules = frozenset(self.modules)
        transposed = family_of(checkpoint.hf_config).transposed_names(checkpoint.config())
        changed = {f"{module}.weight" for module in modules} | set(self.replaced_tensors)
        checkpoint = self._fit_vocabulary(checkpoint)
        if missing := sorted(changed - checkpoint.names):
            raise UserError(
                f"the adapter '{self.folder}' changes '{missing[0]}', which its base model '{checkpoint.source}' does not "
                "have; set base_model_name_or_path in adapter_config.json to the right base model"
            )

        def read(name: str) -> Tensor:
            weight = (
                self._replace(name, checkpoint.read(name), checkpoint) if name in self.tensors else checkpoint.read(name)
            )
            module = name.removesuffix(".weight")
            if module not in modules:
                return weight
            quantized = checkpoint.read_quantized(name) if checkpoint.read_quantized is not None else None
            return self._apply(module, weight, quantized, transposed=name in transposed)

        return replace(checkpoint, read=read, read_quantized=None)

    def _replace(self, name: str, weight: Tensor, checkpoint: Checkpoint) -> Tensor:
        """The adapter's own tensor of this name, which can have more or fewer rows than the base model's vocabulary."""
        replaced = self.tensors[name]
        rows = checkpoint.config().vocab_size if name in checkpoint.vocabulary_tensors() else weight.shape[0]
        if replaced.shape != (rows, *weight.shape[1:]):
            raise UserError(
                f"the adapter '{self.folder}' replaces '{name}' by a tensor of shape {tuple(replaced.shape)}, but the base "
                f"model's is {tuple(weight.shape)}; the two do not belong together"
            )
        return replaced

    def _fit_vocabulary(self, checkpoint: Checkpoint) -> Checkpoint:
        """The base model's checkpoint with the size of the adapter's vocabulary, and with an output projection of its own if
        the adapter changes only one of two tied matrices.

        PEFT saves both matrices in full after `resize_token_embeddings`.
        """
        names, vocab_size = checkpoint.vocabulary_tensors(), checkpoint.config().vocab_size
        sizes = {name: len(self.tensors[name]) if name in self.tensors else vocab_size for name in names}
        if len(set(sizes.values())) > 1:
            embedding, output = (f"{size:,} rows in '{name}'" for name, size in sizes.items())
            raise UserError(
                f"the adapter '{self.folder}' is for a model with {embedding} and {output}, where its base model "
                f"'{checkpoint.source}' has {vocab_size:,} in both, so it lacks the other matrix: merge it with PEFT's "
                "merge_and_unload in the program that trained it"
            )
        checkpoint = replace(checkpoint, hf_config={**checkpoint.hf_config, "vocab_size": next(iter(sizes.values()))})
        replaced = [self.tensors[name] for name in names if name in self.tensors]
        low_rank = {f"{module}.weight" for module in self.modules} & set(names)
        if not checkpoint.config().tie_word_embeddings or not (replaced or low_rank):
            return checkpoint
        stays_tied = len(replaced) == 2 and torch.equal(*replaced) and not low_rank
        return _with_output(checkpoint, *names, is_tied=stays_tied)

    def _apply(self, module: str, weight: Tensor, quantized: QuantizedMatrix | None, *, transposed: bool) -> Tensor:
        lora_A, lora_B, magnitude = self.low_rank(module)
        change = self.scale(module) * (lora_B.float() @ lora_A.float())
        change = change.t() if transposed else change
        if change.shape != weight.shape:
            raise UserError(
                f"the adapter '{self.folder}' changes '{module}' by a matrix of shape {tuple(change.shape)}, but the base "
                f"model's is {tuple(weight.shape)}; the two do not belong together"
            )
        base = self._quantize_as_trained(weight.float(), quantized, transposed=transposed)
        if self.keeps_residual:
            init, rows = str(self.config["init_lora_weights"]), base.t() if transposed else base
            first = _first_change(init, rows, len(lora_A), self.scale(module))
            change = change - (first.t() if transposed else first)
        merged = base + change
        if magnitude is not None:
            dim = 1 if transposed else 0
            shape = (1, -1) if transposed else (-1, 1)
            merged *= magnitude.float().view(shape) / merged.norm(dim=1 - dim, keepdim=True)
        return merged.to(weight.dtype)

    def _quantize_as_trained(self, weight: Tensor, quantized: QuantizedMatrix | None, *, transposed: bool) -> Tensor:
        """The base model's matrix, rounded to the bits that the adapter was trained with, unless it is stored in these."""
        bits = self.config.get(BASE_WEIGHTS)
        if bits is None or (quantized is not None and bits == f"int{quantized.bits}"):
            return weight
        rows = weight.t().contiguous() if transposed else weight
        dense = (quantize_rows(rows) if bits == "int8" else quantize_groups(rows)).dequantize()
        return dense.t() if transposed else dense


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter instead of a complete model."""
    return has_file(folder / CONFIG) and not has_file(folder / "config.json")


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter folder.

    Raises:
        UserError: it is damaged, its weights are pickled, or its type is not supported.
    """
    file = folder / WEIGHTS
    if not has_file(file):
        raise UserError(f"'{folder}' has no {WEIGHTS} (pickled weights are never loaded); save the adapter again with PEFT")
    config = read_json(folder / CONFIG)
    try:
        with safe_open(file, framework="pt") as weights:
            tensors = {_our_name(name): weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"the adapter '{folder}' cannot be read ({error}); download or save it again") from error
    if features := _unsupported_features(config, tensors):
        raise UserError(f"the adapter '{folder}' uses {features[0]}, which is not supported; {_remedy(features)}")
    if config.get("use_dora") and not any(name.endswith(MAGNITUDE) for name in tensors):
        raise UserError(f"the adapter '{folder}' sets use_dora but has no lora_magnitude_vector; download or save it again")
    adapter = Adapter(folder, config, tensors)
    _check_ranks(adapter)
    return adapter


def _our_name(name: str) -> str:
    """A tensor's name without PEFT's prefix; a layer that is saved in full next to its low-rank update has another infix."""
    return name.removeprefix(PREFIX).replace(".base_layer.", ".")


def _unsupported_features(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> list[str]:
    """The features of an adapter that are not supported."""
    if (kind := str(config.get("peft_type"))) not in ("LORA", OUR_TYPE):
        return [kind]
    init = config.get("init_lora_weights", True)
    features = [key for key in sorted(config.keys() - READ_KEYS - NEUTRAL_KEYS - {"bias"}) if config[key]]
    features += [f"bias={config['bias']!r}"] if config.get("bias", "none") != "none" else []
    features += [name for name in sorted(tensors) if ".lora_" in name and not name.endswith(LOW_RANK_PARTS)]
    if init not in (*PLAIN_INITS, *RESIDUAL_INITS) or (init == "olora" and config.get("fan_in_fan_out")):
        features.append(f"init_lora_weights={init!r}, whose change of the base model it does not record")
    for patterns in ("rank_pattern", "alpha_pattern"):
        if not isinstance(names := config.get(patterns) or {}, Mapping):
            raise UserError(f"{CONFIG}: {patterns}={names!r} is not an object; save the adapter again")
        features += [f"the regular expression {name!r} in {patterns}" for name in names if not _PATTERN.fullmatch(name)]
    return features


def _remedy(features: Sequence[str]) -> str:
    """What to do with an adapter that has these features: PEFT merges some of them into the base model, but not all."""
    conditions: list[str] = []
    for feature in features:
        if MERGEABLE.fullmatch(feature):
            continue
        condition = next((text for pattern, text in MERGEABLE_IF.items() if re.fullmatch(pattern, feature)), None)
        if condition is None:
            return "run it with PEFT, or train an adapter with `lmcraft finetune`"
        conditions.append(condition)
    merge = "merge it with PEFT's merge_and_unload in the program that trained it"
    if not conditions:
        return merge
    return f"{merge} if {' and '.join(dict.fromkeys(conditions))}, or else run it with PEFT"


def _check_ranks(adapter: Adapter) -> None:
    """Raise UserError unless each layer's matrices and settings belong together."""
    config, tensors, folder = adapter.config, adapter.tensors, adapter.folder
    for module in sorted({name.partition(".lora_")[0] for name in tensors if ".lora_" in name}):
        for name in (f"{module}.lora_A.weight", f"{module}.lora_B.weight"):
            if name not in tensors:
                raise UserError(f"the adapter '{folder}' lacks the tensor '{name}'; download or save it again")
        lora_A, lora_B, magnitude = adapter.low_rank(module)
        rank = _pattern_value(config.get("rank_pattern"), module, config.get("r"))
        if not isinstance(rank, int) or rank < 1:
            raise UserError(f"the adapter '{folder}' has the rank {rank!r} for '{module}' in {CONFIG}: set r to at least 1")
        if lora_A.dim() != 2 or lora_B.dim() != 2 or not len(lora_A) == lora_B.shape[1] == rank:
            raise UserError(
                f"the adapter '{folder}' has matrices of shapes {tuple(lora_A.shape)} and {tuple(lora_B.shape)} for "
                f"'{module}', but {CONFIG} says rank {rank}; the two files do not belong together"
            )
        alpha = _pattern_value(config.get("alpha_pattern"), module, config.get("lora_alpha"))
        if not isinstance(alpha, int | float) or not abs(alpha) < float("inf"):
            raise UserError(f"the adapter '{folder}' scales '{module}' by lora_alpha={alpha!r}: set a number in {CONFIG}")
        if magnitude is not None and tuple(magnitude.shape) != (len(lora_B),):
            raise UserError(f"the adapter '{folder}' has a damaged magnitude vector of '{module}'; save it again")


def _with_output(checkpoint: Checkpoint, embedding: str, output: str, *, is_tied: bool) -> Checkpoint:
    """A checkpoint of tied matrices with a tensor for the output projection."""

    def read(name: str) -> Tensor:
        return checkpoint.read(embedding if name == output else name)

    hf_config = {**checkpoint.hf_config, "tie_word_embeddings": is_tied}
    return replace(checkpoint, hf_config=hf_config, names=checkpoint.names | {output}, read=read)


def _first_change(init: str, weight_OI: Tensor, rank: int, scale: float) -> Tensor:
    """The part of the base model's matrix that training began with in A and B instead of in the matrix, (O, I).

    PiSSA (arXiv 2404.02948, eq. 2, 3): the largest singular values; OLoRA (arXiv 2406.01775): the first columns of Q in QR,
    times the adapter's scale, as PEFT computes it.
    """
    if init == "pissa":
        u, s, v = torch.linalg.svd(weight_OI, full_matrices=False)
        first: Tensor = (u[:, :rank] * s[:rank]) @ v[:rank]
        return first
    q, r = torch.linalg.qr(weight_OI)
    first = scale * q[:, :rank] @ r[:rank]
    return first


def save_adapter(adapter: Adapter, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write an adapter folder that PEFT opens; `dtype` None keeps the tensors' type."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, dict(adapter.config))
    tensors = {PREFIX + name: tensor.to(dtype or tensor.dtype).contiguous() for name, tensor in adapter.tensors.items()}
    save_tensors(tensors, folder / WEIGHTS)


def _pattern_value(values: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """The value of the first pattern that the module's name ends with; not a regular expression, which could run forever."""
    for pattern, value in (values or {}).items():
        if f".{module}".endswith(f".{pattern.removeprefix('^').replace(chr(92), '')}"):
            return value
    return default
