"""A tiny model with a tokenizer of characters, and tasks in files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.task import Task
from lmcraft.json_lines import format_json_line
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer import train_characters
from tests.tiny import TEXT, tiny_model

WriteTask = Callable[..., Task]


@pytest.fixture(scope="session")
def language_model() -> LanguageModel:
    return LanguageModel(tiny_model(max_position_embeddings=256), train_characters([TEXT], special_tokens=["<|endoftext|>"]))


@pytest.fixture(scope="session")
def model(language_model: LanguageModel) -> EvaluatedModel:
    return EvaluatedModel(language_model)


@pytest.fixture
def write_task(tmp_path: Path) -> WriteTask:
    """Writes rows and the settings of a task, and opens it."""

    def write(rows: Sequence[Mapping[str, Any]], name: str = "toy", **settings: Any) -> Task:
        (tmp_path / f"{name}.jsonl").write_text("".join(map(format_json_line, rows)))
        (tmp_path / f"{name}.toml").write_text(tomli_w.dumps({"data": f"{name}.jsonl", **settings}))
        return Task.read(tmp_path / f"{name}.toml")

    return write
