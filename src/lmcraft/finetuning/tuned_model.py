"""The folder of a fine-tuned model: an adapter in PEFT's format or a whole model, each with its tokenizer.

A classifier also has its head, under transformers' name, and its labels in `lmcraft/labels.json`. One that transformers and
PEFT would read otherwise (`Labels.is_portable`) has a type that they refuse.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import Tensor

from lmcraft.finetuning.encoding import ends_classified_texts
from lmcraft.finetuning.head import HEAD, Labels, add_head
from lmcraft.folder import write_json
from lmcraft.model.adapter import HEAD as HEAD_WEIGHT
from lmcraft.model.adapter import OUR_TYPE, Adapter, is_adapter, read_adapter, save_adapter
from lmcraft.model.families.lmcraft import LMCRAFT
from lmcraft.model.lora_linear import load_adapter
from lmcraft.model.storage import WEIGHTS, build_model
from lmcraft.model.tensor_file import save_tensors
from lmcraft.model.transformer import Transformer
from lmcraft.model_source import ModelSource
from lmcraft.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from lmcraft.finetuning.config import MethodConfig

LANGUAGE_MODEL = re.compile("(ForCausalLM|LMHeadModel)?$")  # the end of the name of transformers' class


def snapshot(
    model: Transformer,
    method: "MethodConfig",
    base: str,
    tokenizer: Tokenizer,
    eos_token_ids: tuple[int, ...],
    labels: Labels,
) -> Callable[[Path], None]:
    """Copy a model as it is now, and return a function that writes the copy as a folder.

    Args:
        model: the model in training.
        method: decides between an adapter and a whole model.
        base: the address of the base model.
        tokenizer: the tokenizer, with the chat template used in training.
        eos_token_ids: the tokens that end a text.
        labels: the labels of the model's head, if it has one.
    """
    from lmcraft.finetuning.lora import adapter_config, adapter_tensors
    from lmcraft.finetuning.methods import trained_state  # as below, these import much that opening a model does not need
    from lmcraft.language_model import LanguageModel

    state = trained_state(model)
    saved_tokenizer = tokenizer
    if HEAD_WEIGHT in state and ends_classified_texts(tokenizer):
        # so that transformers classifies the same tokens as lmcraft
        saved_tokenizer = tokenizer.with_borders(end=tokenizer.eos_token_id)
    if method.adapts:
        tensors, config = adapter_tensors(model, state), adapter_config(model, method, base)
        if HEAD_WEIGHT in state:
            tensors[HEAD_WEIGHT] = state[HEAD_WEIGHT]
            config |= {"task_type": "SEQ_CLS", "modules_to_save": [HEAD]}
            config |= {} if labels.is_portable(model.config) else {"peft_type": OUR_TYPE}

        def write_adapter(folder: Path) -> None:
            save_adapter(Adapter(folder, config, tensors), folder)
            saved_tokenizer.save(folder)

        return write_adapter
    head = state.pop(HEAD_WEIGHT, None)
    whole_model = unsharded_copy(model, method)
    if not labels.is_portable(model.config):
        whole_model.config = replace(model.config, family=LMCRAFT.model_type)

    def write_model(folder: Path) -> None:
        LanguageModel(whole_model, saved_tokenizer, eos_token_ids=eos_token_ids).save_files(folder)
        if head is not None:
            _add_head_to(folder, head, labels)

    return write_model


def unsharded_copy(model: Transformer, method: "MethodConfig") -> Transformer:
    """An unsharded copy of a model in training, with its adapters and without its head; every process must call this."""
    from lmcraft.finetuning.lora import add_adapters
    from lmcraft.training.sharding import full_tensor

    with torch.device("meta"):
        copy = Transformer(model.config)
        if method.adapts:
            add_adapters(copy, method)
    state = model.state_dict()
    copy.load_state_dict({name: full_tensor(state[name]) for name in copy.state_dict()}, assign=True)
    for name, buffer in model.named_buffers():  # of frozen layers of 8 or 4 bits
        layer, _, last = name.rpartition(".")
        setattr(copy.get_submodule(layer), last, buffer)
    copy.compute_dtype = model.compute_dtype
    return copy.eval()


def _add_head_to(folder: Path, head: Tensor, labels: Labels) -> None:
    """Turn a model folder into one of transformers' sequence classifiers, or into our own."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = [
        LANGUAGE_MODEL.sub("ForSequenceClassification", name, count=1) for name in config["architectures"]
    ]
    names = labels.names or ("reward",)
    config["id2label"] = {str(number): label for number, label in enumerate(names)}
    config["label2id"] = {label: number for number, label in enumerate(names)}
    if labels.multi_label:
        config["problem_type"] = "multi_label_classification"
    write_json(folder / "config.json", config)
    save_tensors(load_file(folder / WEIGHTS) | {HEAD_WEIGHT: head.contiguous()}, folder / WEIGHTS)


def open_tuned(source: ModelSource, dtype: torch.dtype, device: torch.device, *, head: int = 0) -> Transformer:
    """Open a fine-tuned model with its head, and with its adapter not merged into the weights.

    Args:
        source: a model, or an adapter with its base model.
        dtype: of the weights.
        device: of the weights.
        head: number of outputs of the head; 0: no head.
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
    """The weight of the head in a folder, (L, C)."""
    if is_adapter(folder):
        return read_adapter(folder).tensors[HEAD_WEIGHT]
    return load_file(folder / WEIGHTS)[HEAD_WEIGHT]
