"""A tokenizer with a chat template, a model folder and batches small enough for a test."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lmcraft.data.loader import Batch
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.examples import Message
from lmcraft.finetuning.packing import PackedRows
from lmcraft.language_model import LanguageModel
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.train import train_bpe
from lmcraft.training.batch import TensorBatch, to_device
from tests.tiny import TEXT, tiny_model

SPECIAL = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@cache
def chat_tokenizer(template: str = CHATML) -> Tokenizer:
    return train_bpe([TEXT], vocab_size=256 + len(SPECIAL) + 21, special_tokens=SPECIAL).with_chat_template(template)


def message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def write_rows(file: Path, rows: Sequence[Any]) -> Path:
    """A file of JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def chat_model(**settings: Any) -> Transformer:
    return tiny_model(**({"vocab_size": chat_tokenizer().vocab_size, "max_position_embeddings": 128} | settings))


def chat_folder(folder: Path, **settings: Any) -> Path:
    LanguageModel(chat_model(**settings), chat_tokenizer()).save(folder)
    return folder


def random_example(length: int, *, seed: int = 0, learned_from: int = 0) -> TokenizedExample:
    """Random tokens of the tiny model, with targets from a position on."""
    ids = np.random.default_rng((seed, length)).integers(1, 96, length + 1)
    return TokenizedExample(ids[:-1], np.where(np.arange(length) >= learned_from, ids[1:], -100))


def batch_of(examples: Sequence[TokenizedExample], length: int, *, packing: bool = True) -> TensorBatch:
    """All examples in one batch."""
    return to_device(Batch.stack(list(PackedRows(examples, length, packing=packing).ordered())), tiny_model().device)
