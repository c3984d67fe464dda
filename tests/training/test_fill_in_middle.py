"""Runs with fill-in-the-middle: what they refuse, how they resume, and what their model then does."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft import (
    FinetuneConfig,
    GenerateConfig,
    LanguageModel,
    PrepareConfig,
    PretrainConfig,
    finetune,
    generate,
    prepare,
    pretrain,
)
from lmcraft.cli import main
from lmcraft.errors import UserError
from lmcraft.finetuning.config import ObjectiveConfig
from lmcraft.folder import ModelFolder
from lmcraft.model.config import TransformerConfig
from tests.marked import marked_dataset
from tests.tiny import TEXT

SIZES = TransformerConfig(hidden_size=32, num_attention_heads=2)
DOCUMENTS = "\n".join(json.dumps({"text": f"open read close {n}"}) for n in range(10)) + "\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fim")
    (folder / "text.jsonl").write_text(DOCUMENTS * 20, encoding="utf-8")
    settings: dict[str, Any] = {"tokenizer_type": "characters", "validation": 0.1, "fim": True}
    return prepare(PrepareConfig((str(folder / "text.jsonl"),), out=folder / "data", **settings)).path


def config_of(data: Path, out: Path, **settings: Any) -> PretrainConfig:
    sizes: dict[str, Any] = {"depth": 2, "model": SIZES, "sequence_length": 48, "batch_size": 8, "precision": "fp32"}
    return PretrainConfig(data, out=out, **(sizes | {"max_steps": 8, "fim_rate": 0.5, "compile": "off"} | settings))


def losses(out: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in ModelFolder(out).metrics.read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def test_a_model_fills_gaps_and_stops(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pretrain(config_of(data, tmp_path / "model", max_steps=60, eval_every=100, sample_every=100)).path
    prefix, suffix, settings = "open", " close 3", {"temperature": 0, "max_new_tokens": 40}
    model, eager = LanguageModel.load(folder), LanguageModel.load(folder, tier="eager")
    tokens = list(model.tokens(prefix, suffix=suffix, **settings))
    assert tokens[-1].finish_reason == "stop" and len(tokens) < 30
    middle = "".join(token.text for token in tokens)
    assert middle == model.complete(prefix, suffix=suffix, **settings) == eager.complete(prefix, suffix=suffix, **settings)
    assert "fim" not in middle
    capsys.readouterr()
    assert main(["generate", str(folder), prefix, "--suffix", suffix, "--temperature", "0"]) == 0
    assert capsys.readouterr().out == f"{prefix}{middle}{suffix}\n"
    config = GenerateConfig(str(folder), prefix, suffix=suffix, num_return_sequences=2, max_new_tokens=4, seed=1)
    assert generate(config).count(suffix) == 2
    assert isinstance(model.complete("", suffix="", **settings), str)
    with pytest.raises(UserError, match="leaves no room in the model's context"):
        model.complete("", suffix="open " * 100)


def test_a_resumed_run_reads_the_same_rows(data: Path, tmp_path: Path) -> None:
    pretrain(config_of(data, tmp_path / "whole"))
    pretrain(config_of(data, tmp_path / "parts", pause_at=3))
    with pytest.raises(UserError, match=r"fim_rate=0\.25 differs from fim_rate=0\.5"):
        pretrain(config_of(data, tmp_path / "parts", fim_rate=0.25, resume=True))
    pretrain(config_of(data, tmp_path / "parts", resume=True))
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fim_rate": 1.5}, "fim_rate=1.5 is not a share of the documents"),
        ({"fim_rate": float("nan")}, "fim_rate=nan is not a finite number"),
        ({"fim_spm_rate": -1.0}, "fim_spm_rate=-1 is not a share"),
        ({"fim_rate": 0.0, "fim_spm_rate": 0.1}, "fim_spm_rate=0.1 has no effect without --fim-rate"),
        ({"without": (1,)}, "fim_rate=0.5 does not work with without=1"),
    ],
    ids=["rate", "nan", "spm-rate", "no-effect", "without"],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        config_of(data, tmp_path / "model", **settings).resolved()


def test_data_that_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    plain = prepare(PrepareConfig((str(tmp_path / "text.txt"),), out=tmp_path / "plain", vocab_size=300)).path
    with pytest.raises(UserError, match=r"fim_rate=0.5 needs a vocabulary with tokens for fill-in-the-middle"):
        pretrain(config_of(plain, tmp_path / "model"))
    with pytest.raises(UserError, match=r"fim_rate=0\.5 does not work with dataset .* has marks"):
        config_of(marked_dataset(tmp_path), tmp_path / "model").resolved()


def test_continued_pretraining(data: Path, tmp_path: Path) -> None:
    base = pretrain(config_of(data, tmp_path / "base", fim_rate=0.0, max_steps=2)).path
    settings = ObjectiveConfig(fim_rate=1.0)
    common: dict[str, Any] = {"objective": "continued", "settings": settings, "max_steps": 2, "precision": "fp32"}
    tuned = finetune(FinetuneConfig(str(base), (data,), out=tmp_path / "tuned", sequence_length=48, batch_size=4, **common))
    model = LanguageModel.load(tuned.path)
    assert isinstance(model.complete("open", suffix="close 3", max_new_tokens=3), str)
