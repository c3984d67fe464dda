"""Folders of tiny models: one that continues plain text, and one with a chat template."""

import json
from pathlib import Path

import pytest

from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer.train import train_bpe
from tests.inference.helpers import TEXT, language_model
from tests.tiny import tiny_model

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

OWN_SAMPLING = GenerationConfig(has_own_sampling=True)


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "plain"
    language_model(generation_config=OWN_SAMPLING).save(folder)
    return folder


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tuned"
    tokenizer = train_bpe([TEXT], vocab_size=300, special_tokens=SPECIAL)
    model = tiny_model(vocab_size=tokenizer.vocab_size, max_position_embeddings=256)
    LanguageModel(model, tokenizer, OWN_SAMPLING).save(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token": "<|im_end|>", "chat_template": CHATML}))
    return folder
