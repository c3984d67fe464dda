"""What a tuned model is on the disk: an adapter in PEFT's format or a whole model, each with its tokenizer.

A classifier has its head beside that, under transformers' name, and what its outputs mean in `lmcraft/labels.json`.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.finetuning.classify import Pooling, add_head
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.lora import adapter_config, adapter_tensors
from lmcraft.finetuning.methods import HEAD, trained_state
from lmcraft.folder import ModelFolder, atomic_write, write_json
from lmcraft.language_model import LanguageModel
from lmcraft.model.adapter import HEAD as HEAD_WEIGHT
from lmcraft.model.adapter import Adapter, is_adapter, read_adapter, save_adapter
from lmcraft.model.lora_linear import load_adapter
from lmcraft.model.storage import WEIGHTS, build_model
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import ModelSource
from lmcraft.tokenizer.tokenizer import Tokenizer

CLASSIFIER = "ForSequenceClassification"


@dataclass(frozen=True)
class Labels:
    """What the outputs of a classifier's head stand for."""

    labels: tuple[str, ...]
    several: bool = False
    pooling: Pooling = "last"

    def of(self, outputs_L: Tensor) -> str:
        """What the head's outputs for a text say."""
        if not self.labels:
            return f"{float(outputs_L[0]):.2f}"
        if self.several:
            return ", ".join(label for label, value in zip(self.labels, outputs_L.tolist(), strict=True) if value > 0)
        return self.labels[int(outputs_L.argmax())]

    def save(self, folder: Path) -> None:
        write_json(ModelFolder(folder).run / "labels.json", asdict(self))

    @classmethod
    def load(cls, folder: Path) -> "Labels":
        """Read them from a model folder.

        Raises:
            UserError: the folder holds no classifier.
        """
        file = ModelFolder(folder).run / "labels.json"
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            return cls(tuple(map(str, said["labels"])), bool(said["several"]), said["pooling"])
        except FileNotFoundError as error:
            raise UserError(
                f"'{folder}' holds no classifier (it has no lmcraft/labels.json): make one with "
                "`lmcraft finetune MODEL DATA --objective classify`"
            ) from error
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(f"'{file}' is damaged ({error}): tune the classifier again") from error


def snapshot(
    model: Transformer, method: MethodConfig, base: str, tokenizer: Tokenizer, eos_token_ids: tuple[int, ...], labels: Labels
) -> Callable[[Path], None]:
    """A copy of a model as it is now, as a function that writes its folder.

    Args:
        model: being tuned.
        method: how.
        base: the address of the model that it was.
        tokenizer: with the chat template that it is tuned on.
        eos_token_ids: what ends its texts.
        labels: of its head; none where it has no labels.
    """
    state = trained_state(model)
    if method.adapts:
        tensors, config = adapter_tensors(model, state), adapter_config(model, method, base)
        if HEAD_WEIGHT in state:
            tensors[HEAD_WEIGHT] = state[HEAD_WEIGHT]
            config |= {"task_type": "SEQ_CLS", "modules_to_save": [HEAD]}

        def write_adapter(folder: Path) -> None:
            save_adapter(Adapter(folder, config, tensors), folder)
            tokenizer.save(folder)

        return write_adapter
    head = state.pop(HEAD_WEIGHT, None)
    copy = _whole_model(model)

    def write_model(folder: Path) -> None:
        LanguageModel(copy, tokenizer, eos_token_ids=eos_token_ids).save(folder)
        if head is not None:
            _add_head_to(folder, head, labels)

    return write_model


def _whole_model(model: Transformer) -> Transformer:
    from lmcraft.training.sharding import whole

    with torch.device("meta"):
        copy = Transformer(model.config)
    state = model.state_dict()
    copy.load_state_dict({name: whole(state[name]) for name in copy.state_dict()}, assign=True)
    copy.compute_dtype = model.compute_dtype
    return copy.eval()


def _add_head_to(folder: Path, head: Tensor, labels: Labels) -> None:
    """Make a model folder one of transformers' sequence classifiers."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = [name.replace("ForCausalLM", CLASSIFIER) for name in config["architectures"]]
    names = labels.labels or ("reward",)
    config["id2label"] = {str(number): label for number, label in enumerate(names)}
    config["label2id"] = {label: number for number, label in enumerate(names)}
    if labels.several:
        config["problem_type"] = "multi_label_classification"
    write_json(folder / "config.json", config)
    tensors = load_file(folder / WEIGHTS) | {HEAD_WEIGHT: head.contiguous()}
    with atomic_write(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
        temporary.chmod(0o644)


def open_tuned(source: ModelSource, dtype: torch.dtype, device: torch.device, *, head: int = 0) -> Transformer:
    """The model of a source with its adapter beside its weights rather than in them, and its head.

    Args:
        source: a model, or an adapter on one.
        dtype: of the weights.
        device: where they go.
        head: outputs of the head; 0: none.
    """
    adapter = source.adapter
    model = build_model(source.checkpoint if source.base is None else source.base.checkpoint, dtype=dtype, device=device)
    if head:
        add_head(model, head)
        model.get_submodule(HEAD).load_state_dict({"weight": read_head(source.path)})
    if adapter is not None:
        load_adapter(model, adapter)
    return model


def read_head(folder: Path) -> Tensor:
    """The head's weights in a folder, (L, C)."""
    if is_adapter(folder):
        return read_adapter(folder).tensors[HEAD_WEIGHT]
    return load_file(folder / WEIGHTS)[HEAD_WEIGHT]
