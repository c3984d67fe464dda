"""Fine-tuning with differential privacy: what is refused, and what a run leaves in its folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft.commands.finetune import finetune
from lmcraft.data.canaries import Canaries
from lmcraft.data.loader import TokenSplit
from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig, MethodConfig, ObjectiveConfig
from lmcraft.finetuning.privacy import private_batch_size
from lmcraft.folder import ModelFolder
from lmcraft.language_model import LanguageModel
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.config import DPConfig
from tests.finetuning.chat import chat_folder, message, write_rows
from tests.tiny import tiny_dataset, tiny_model

SETTINGS: dict[str, Any] = {"precision": "fp32", "attention": "matmul", "epochs": 1.0, "report_answers": 0}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "objective": (
        {"objective": "dpo"},
        "objective=dpo cannot be trained .*: use sft, classification, continued, or leave out",
    ),
    "clipping": ({"dp": DPConfig(epsilon=8, max_grad_norm=0)}, "dp.max_grad_norm=0 is out of range"),
    "no budget": ({"dp": DPConfig(delta=0.1)}, "dp.delta=0.1 has no effect without a budget"),
    "dora": ({"method": MethodConfig(name="dora")}, "method.name=dora cannot be trained .*: use lora"),
    "unit": ({"dp": DPConfig(epsilon=8, unit="document")}, "dp.unit=document is not what objective=sft learns from"),
    "l2_sp": ({"settings": ObjectiveConfig(l2_sp=0.1), "method": MethodConfig(name="full")}, "l2_sp=0.1 does not work"),
    "kl": ({"settings": ObjectiveConfig(kl=0.5)}, "kl=0.5 does not work .* since it compares two models"),
    "general": ({"settings": ObjectiveConfig(general=Path("text"))}, "general=text does not work"),
    "weights": (
        {"objective": "classification", "settings": ObjectiveConfig(class_weights="balanced")},
        "class_weights=balanced does not work",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_differential_privacy_excludes_is_refused_in_one_sentence(name: str) -> None:
    options, sentence = REFUSED[name]
    config = FinetuneConfig("model", (Path("data.jsonl"),), **({"dp": DPConfig(epsilon=8)} | options))
    with pytest.raises(UserError, match=sentence) as raised:
        config.resolved()
    assert "\n" not in str(raised.value)


def test_a_step_reads_many_examples_but_not_more_than_there_are() -> None:
    assert [private_batch_size(n) for n in (10, 200, 3200, 10**6)] == [10, 64, 200, 1024]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_folder(tmp_path_factory.mktemp("base"))


def conversations(file: Path, count: int = 80) -> Path:
    rows = [{"messages": [message("user", f"Line {n}"), message("assistant", f"the fox {n * n}")]} for n in range(count)]
    return write_rows(file, rows)


def texts(file: Path, count: int = 80) -> Path:
    return write_rows(file, [{"text": f"Line {n}: the fox", "label": "odd" if n % 2 else "even"} for n in range(count)])


@pytest.mark.parametrize("epsilon", [8.0, 0.0])
def test_continued_training_has_documents_and_canaries_as_units(tmp_path: Path, epsilon: float) -> None:
    data = tiny_dataset(tmp_path)
    tokenizer = Tokenizer.load(data)
    LanguageModel(tiny_model(vocab_size=tokenizer.vocab_size), tokenizer).save(tmp_path / "base")
    method, dp = MethodConfig(name="full"), DPConfig(epsilon=epsilon)
    options = SETTINGS | {"objective": "continued", "dp": dp, "method": method, "canaries": 8, "max_steps": 2}
    config = FinetuneConfig(str(tmp_path / "base"), (data,), out=tmp_path / "out", sequence_length=32, **options)
    folder = finetune(config)
    canaries = Canaries.read(folder.canaries)
    assert canaries is not None and len(canaries.items) == 8 and (canaries.period == 0) == (epsilon > 0)
    guarantee = Guarantee.read(folder)
    assert (guarantee is None) == (epsilon == 0)
    if guarantee is not None:
        documents = TokenSplit(data, "train").documents
        assert guarantee.unit == "document" and guarantee.units == documents + len(canaries.documents())


def test_canaries_among_examples_are_refused() -> None:
    with pytest.raises(UserError, match="canaries=4 are documents, which objective=sft does not read"):
        FinetuneConfig("model", (Path("data.jsonl"),), canaries=4).resolved()


@pytest.mark.parametrize("objective", ["sft", "classification"])
def test_a_private_run_leaves_its_guarantee_and_nothing_secret(base: Path, tmp_path: Path, objective: str) -> None:
    data = (conversations if objective == "sft" else texts)(tmp_path / "data.jsonl")
    options = SETTINGS | {"objective": objective, "dp": DPConfig(epsilon=8.0), "method": MethodConfig(rank=2)}
    folder = finetune(FinetuneConfig(str(base), (data,), out=tmp_path / "out", **options))
    guarantee = Guarantee.read(ModelFolder(folder.path))
    assert guarantee is not None and guarantee.unit == "example" and 0 < guarantee.epsilon <= 8
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    steps = max(row["step"] for row in rows)
    assert guarantee.steps == steps > 0 and not any("loss" in row for row in rows)
    assert guarantee.sampling_rate == pytest.approx(64 / guarantee.units)
    card = (folder.path / "README.md").read_text()
    assert "differential privacy, per example" in card and "| time | [" in card
    assert "Differential privacy per example" in folder.report.read_text()
    assert not list(folder.run.glob("*secret*"))
