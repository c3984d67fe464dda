"""The audit of fine-tuned models."""

from pathlib import Path
from typing import Any

import pytest

from lmcraft import AuditPrivacyConfig, FinetuneConfig, audit_privacy, finetune
from lmcraft.errors import UserError
from lmcraft.finetuning.config import MethodConfig
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.config import DPConfig
from tests.finetuning.chat import chat_folder, message, write_rows
from tests.tiny import tiny_dataset, tiny_model

SETTINGS: dict[str, Any] = {"precision": "fp32", "attention": "matmul", "max_steps": 2, "report_answers": 0}
AUDIT: dict[str, Any] = {"documents": 20, "extraction_tokens": 4, "time_limit": "3s"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_folder(tmp_path_factory.mktemp("base"))


def rows_of(objective: str, file: Path) -> Path:
    if objective == "sft":
        rows = [{"messages": [message("user", f"Line {n}"), message("assistant", f"the fox {n * n}")]} for n in range(80)]
        return write_rows(file, rows)
    return write_rows(file, [{"text": f"Line {n}: the fox", "label": "odd" if n % 2 else "even"} for n in range(80)])


@pytest.mark.parametrize("objective", ["sft", "classification"])
def test_a_model_that_was_tuned_privately(base: Path, tmp_path: Path, objective: str) -> None:
    data = rows_of(objective, tmp_path / "data.jsonl")
    options = SETTINGS | {"objective": objective, "dp": DPConfig(epsilon=8.0), "method": MethodConfig(rank=2)}
    folder = finetune(FinetuneConfig(str(base), (data,), out=tmp_path / "out", **options))
    audit = audit_privacy(AuditPrivacyConfig(folder.path, **AUDIT))
    assert audit.passed, audit.describe_failure()
    assert audit.strongest is not None and audit.strongest.epsilon > 4
    assert any(figure.kind == "membership" for figure in audit.figures) == (objective == "sft")
    data.write_text(data.read_text().replace("fox", "cat"))
    with pytest.raises(UserError, match="is not the data that"):
        audit_privacy(AuditPrivacyConfig(folder.path, **AUDIT))


def test_a_model_that_was_trained_on_further_text(tmp_path: Path) -> None:
    data = tiny_dataset(tmp_path)
    tokenizer = Tokenizer.load(data)
    LanguageModel(tiny_model(vocab_size=tokenizer.vocab_size), tokenizer).save(tmp_path / "base")
    options = SETTINGS | {"objective": "continued", "method": MethodConfig(name="full"), "canaries": 8}
    folder = finetune(FinetuneConfig(str(tmp_path / "base"), (data,), out=tmp_path / "out", sequence_length=32, **options))
    audit = audit_privacy(AuditPrivacyConfig(folder.path, **AUDIT))
    assert audit.passed is None
    assert {figure.kind for figure in audit.figures} >= {"membership", "exposure"}
    with pytest.raises(UserError, match="retrain=True trains copies of runs of `lmcraft pretrain`"):
        audit_privacy(AuditPrivacyConfig(folder.path, retrain=True, **AUDIT))
