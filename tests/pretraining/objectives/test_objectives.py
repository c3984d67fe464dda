"""Objectives on text with marks: losses against plain PyTorch, and whole runs."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lmcraft import LanguageModel, PretrainConfig, pretrain
from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, write_json
from lmcraft.inference.prompt import encode_prompt
from lmcraft.json_lines import read_json_lines
from lmcraft.model.config import TransformerConfig
from lmcraft.pretraining.objectives.registry import OBJECTIVES, build_objective
from lmcraft.pretraining.objectives.unlikelihood import UnlikelihoodLoss
from lmcraft.pretraining.run_data import RunData
from lmcraft.training.batch import TensorBatch
from lmcraft.training.objective import NextToken
from tests.marked import marked_dataset
from tests.tiny import tiny_dataset, tiny_model

SIZES = TransformerConfig(hidden_size=32, num_attention_heads=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return marked_dataset(tmp_path_factory.mktemp("marked"))


def config_of(data: Path, out: Path, **settings: Any) -> PretrainConfig:
    common: dict[str, Any] = {"depth": 2, "model": SIZES, "sequence_length": 32, "batch_size": 8, "precision": "fp32"}
    return PretrainConfig(
        data, out=out, **common | {"max_steps": 4, "eval_every": 2, "save_every": 2, "sample_every": 100} | settings
    )


def losses(out: Path) -> list[tuple[int, float]]:
    return [(row["step"], row.get("loss", row.get("validation_loss"))) for row in read_json_lines(ModelFolder(out).metrics)]


def make_batch() -> TensorBatch:
    torch.manual_seed(0)
    ids, targets = torch.randint(96, (2, 2, 16))
    targets[0, :3] = IGNORE_INDEX
    return TensorBatch(ids, targets, None, (torch.rand(2, 16) < 0.4).float())


def test_unlikelihood_is_the_formula() -> None:
    model, batch = tiny_model(), make_batch()
    assert batch.values is not None
    logits = model(batch.input_ids).float()
    bad, learned = batch.values > 0, batch.targets != IGNORE_INDEX
    p = logits.softmax(dim=-1).gather(2, batch.targets.clamp(min=0)[..., None])[..., 0]
    expected = -p[learned & ~bad].log().sum() - 0.5 * (1 - p[learned & bad]).log().sum()
    torch.testing.assert_close(UnlikelihoodLoss(weight=0.5).loss(model, batch), expected)


def test_unlikelihood_raises_good_tokens_and_lowers_bad_ones() -> None:
    model, batch = tiny_model().train(), make_batch()
    assert batch.values is not None
    before = log_probs(model, batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    UnlikelihoodLoss().loss(model, batch).backward()
    optimizer.step()
    change, learned = log_probs(model, batch) - before, batch.targets != IGNORE_INDEX
    assert change[learned & (batch.values == 0)].mean() > 0
    assert change[learned & (batch.values > 0)].mean() < 0


def log_probs(model: torch.nn.Module, batch: TensorBatch) -> torch.Tensor:
    with torch.no_grad():
        return model(batch.input_ids).log_softmax(dim=-1).gather(2, batch.targets.clamp(min=0)[..., None])[..., 0]


def test_rows_without_flags_and_validation_are_plain_cross_entropy() -> None:
    model, batch = tiny_model(), make_batch()
    plain = F.cross_entropy(model(batch.input_ids).flatten(0, 1).float(), batch.targets.flatten(), reduction="sum")
    torch.testing.assert_close(UnlikelihoodLoss().loss(model, replace(batch, values=None)), plain)
    torch.testing.assert_close(UnlikelihoodLoss().measure(model, batch), plain)
    torch.testing.assert_close(NextToken().loss(model, batch), plain)


@pytest.mark.parametrize("objective", ["conditional", "unlikelihood"])
def test_a_run_that_is_resumed_has_the_same_losses(data: Path, tmp_path: Path, objective: Any) -> None:
    whole = config_of(data, tmp_path / "whole", objective=objective)
    pretrain(whole)
    parts = replace(whole, out=tmp_path / "parts")
    pretrain(replace(parts, pause_at=2))
    pretrain(replace(parts, resume=True))
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    model, marks = LanguageModel.load(tmp_path / "whole"), DatasetFolder(data).manifest()["marks"]
    assert model.generation_config.suppress_tokens == (marks["good"], marks["bad"])
    begin = (marks["good"],) if objective == "conditional" else ()
    assert model.tokenizer.begin_ids == begin
    assert encode_prompt(model.tokenizer, "Line") == [*begin, *model.tokenizer.encode("Line")]
    assert not {*model.generate([5], max_new_tokens=30, seed=0)[0]} & {marks["good"], marks["bad"]}


def test_conditional_models_write_what_their_mark_says(data: Path, tmp_path: Path) -> None:
    pretrain(config_of(data, tmp_path / "model", objective="conditional", max_steps=60, eval_every=60, save_every=60))
    model, marks = LanguageModel.load(tmp_path / "model"), DatasetFolder(data).manifest()["marks"]
    letters = {}
    for name in ("good", "bad"):
        rows = model.generate([[marks[name]]] * 20, max_new_tokens=30, seed=1)
        letters[name] = model.tokenizer.decode([token for row in rows for token in row])
    assert letters["good"].count("g") > 3 * letters["good"].count("b")
    assert letters["bad"].count("b") > 3 * letters["bad"].count("g")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mark_dropout": 0.5}, "mark_dropout=0.5 is for --objective conditional, not next-token: leave it out"),
        (
            {"objective": "filtered", "unlikelihood_weight": 2.0},
            "unlikelihood_weight=2 is for --objective unlikelihood, not filtered: leave it out",
        ),
        ({"objective": "conditional", "mark_dropout": 1.5}, "mark_dropout=1.5 is not a share of the marks: use 0 to 1"),
        ({"objective": "unlikelihood", "unlikelihood_weight": -1.0}, "unlikelihood_weight=-1 is out of range"),
    ],
)
def test_settings_that_do_not_fit(data: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_of(data, Path("out"), **settings).resolved()


def test_objectives_need_marks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"objective=conditional needs text with marks, and dataset '.*' has none: prepare"):
        config_of(tiny_dataset(tmp_path), tmp_path / "out", objective="conditional").resolved()
    assert build_objective(PretrainConfig(tmp_path)).build_loss() == NextToken()


def test_a_changed_objective_is_refused(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "model", objective="filtered", pause_at=2)
    pretrain(config)
    with pytest.raises(UserError, match="objective=next-token differs from objective=filtered"):
        pretrain(replace(config, objective="next-token", resume=True, pause_at=0))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_mixtures_are_read_in_the_same_way(data: Path, tmp_path: Path, objective: Any) -> None:
    """A dataset of one part, as recipes make them, has the validation rows of the dataset without parts."""
    config = config_of(data, tmp_path / "model", objective=objective, holdout=0.5).resolved()
    whole = RunData.open(config)
    folder = tmp_path / "data"
    copytree(data, folder)
    manifest = DatasetFolder(folder).manifest()
    part = {"name": "a-en-1", "source": "a", "language": "en", "copies": 1, **manifest["splits"]}
    write_json(folder / "manifest.json", manifest | {"parts": [part], "mixture": {}})
    mixed = RunData.open(replace(config, data=folder))
    assert mixed.holdout is not None and whole.holdout is not None
    for a, b in ((mixed.validation, whole.validation), (mixed.holdout, whole.holdout)):
        rows = [(*sample.input_ids, *sample.targets) for sample in a.ordered()]
        assert rows == [(*sample.input_ids, *sample.targets) for sample in b.ordered()]
    assert mixed.training_rows(config).batch([0]).input_ids.shape == (1, 32)
    assert mixed.bytes_per_token == whole.bytes_per_token > 1.0, "marks are not counted as tokens of text"
