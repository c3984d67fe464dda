"""Documents are kept by a model's perplexity or by a classifier's label: by bounds, or the best share of a language."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.finetuning.head import HEAD, Labels, add_head
from lmcraft.finetuning.text_classifier import Classifier
from lmcraft.folder import ModelFolder
from lmcraft.language_model import LanguageModel
from lmcraft.preparation.contracts import DocumentId, Record, Tally, Unit, UnitResult
from lmcraft.preparation.stages.model_filter import ModelFilter, compute_bounds, judge_scores, score_label
from lmcraft.tokenizer import train_characters
from tests.finetuning.chat import chat_model, chat_tokenizer
from tests.preparation.stages.test_decontaminate import NoPosition
from tests.tiny import TEXT, tiny_model

Score = Callable[[Sequence[str]], list[float | None]]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    tokenizer = train_characters([TEXT], special_tokens=["<|endoftext|>"])
    LanguageModel(tiny_model(vocab_size=tokenizer.vocab_size, max_position_embeddings=64), tokenizer).save(folder)
    return folder


def run_stage(stage: ModelFilter, units: Sequence[Sequence[Record]], tmp_path: Path) -> dict[tuple[int, ...], str]:
    """What an executor does: the reason of each document that is removed."""
    folders: dict[str, Path] = {}
    results: dict[str, list[UnitResult]] = {"sketch/model": []}
    for number, records in enumerate(units):
        unit = Unit("read", number, "f", {"unit": number})
        folders[unit.key] = tmp_path / unit.key
        assert list(stage.sketch(records, folders[unit.key] / "sketch-model")) == list(records)
        results["sketch/model"].append(UnitResult(unit, {}, Tally(), {}))
    functions = {"compute_bounds": compute_bounds, "judge_scores": judge_scores}
    for step in stage.steps():
        results[step.name] = []
        for unit in step.units(results):
            folders[unit.key] = tmp_path / unit.key
            folders[unit.key].mkdir()
            inputs = {key: folders[key] for key in unit.inputs}
            function = functions[unit.function.rpartition(":")[2]]
            _, values = function(unit.arguments, inputs, folders[unit.key], NoPosition())
            results[step.name].append(UnitResult(unit, {}, Tally(), values))
    verdicts = [stage.verdicts(folders[result.unit.key]) for result in results["verdicts/model"]]
    assert len(verdicts) == len(units)
    return {tuple(number): verdict.reason for each in verdicts for number, verdict in each.items()}


def make_records(texts: Sequence[str], first: int = 0, language: str = "en") -> list[Record]:
    return [Record(DocumentId(0, 0, first + n), text, "a.txt", 1, language) for n, text in enumerate(texts)]


def with_scores(scores: dict[str, float | None], **settings: Any) -> ModelFilter:
    stage = ModelFilter(model="m", **settings)
    stage.__dict__["_score"] = lambda texts: [scores[text] for text in texts]
    return stage


SCORES: dict[str, float | None] = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "": None}


def test_bounds(tmp_path: Path) -> None:
    units = [make_records(["a", "b", ""]), make_records(["c", "d"], 3)]
    removed = run_stage(with_scores(SCORES, keep_above=2.0, keep_below=3.5), units, tmp_path)
    expected = {0: "low-score", 2: "low-score", 4: "high-score"}
    assert removed == {(0, 0, number, 0): reason for number, reason in expected.items()}
    assert units[0][1].notes == {"model": 2.0}


@pytest.mark.parametrize(("measure", "label", "removed"), [("perplexity", "", {2, 3}), ("label", "good", {0, 1})])
def test_a_share_is_taken_of_each_language(measure: Any, label: str, removed: set[int], tmp_path: Path) -> None:
    units = [make_records(["a", "b"]), make_records(["c", "d"], 2), make_records(["d"], 9, "zh"), []]
    stage = with_scores(SCORES, measure=measure, label=label, keep_share=0.5)
    assert {number[2] for number in run_stage(stage, units, tmp_path)} == removed


def test_perplexity_is_that_of_the_model(model_folder: Path, tmp_path: Path) -> None:
    stage = ModelFilter(model=str(model_folder), keep_below=1e9, tokens=100)
    records = make_records([TEXT[:30], "", TEXT * 50, "x"])
    assert {number[2] for number in run_stage(stage, [records], tmp_path)} == {1}
    perplexity = records[0].notes["model"]
    model = LanguageModel.load(model_folder)
    ids = torch.tensor([[*([model.tokenizer.eos_token_id]), *model.tokenizer.encode(TEXT[:30])]])
    with torch.no_grad():
        logits = model.transformer(ids)[0, :-1]
    loss = torch.nn.functional.cross_entropy(logits, ids[0, 1:])
    assert perplexity == pytest.approx(float(loss.exp()), rel=1e-3)


def test_the_label_is_that_of_the_beginning_of_a_text() -> None:
    model = chat_model()
    torch.manual_seed(0)
    add_head(model, 2)
    model.get_submodule(HEAD).weight.data.mul_(50)
    classifier = Classifier(model, chat_tokenizer(), Labels(("good", "bad")))
    score: Score = partial(score_label, classifier, "good", 1024)
    short, blank, long = score(["the fox", " \n", "word " * 3000])
    assert blank is None
    assert short == pytest.approx(classifier.probabilities(["the fox"])[0]["good"], abs=1e-5)
    assert long is not None


def test_the_key_depends_on_the_weights_not_on_the_path(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(model_folder)
    one, two = (ModelFilter(model=str(path), keep_below=9).fingerprint() for path in (model_folder, tmp_path / "link"))
    assert one == two
    assert str(model_folder) not in str(one)


def test_a_model_of_another_kind_is_refused_before_the_work(model_folder: Path) -> None:
    with pytest.raises(UserError, match="not a classifier"):
        ModelFilter(model=str(model_folder), measure="label", label="good", keep_above=0.5).fingerprint()
    Labels(("good", "bad")).save(model_folder)
    try:
        with pytest.raises(UserError, match=r"label='fine' is none of the model .*: use one of good, bad"):
            ModelFilter(model=str(model_folder), measure="label", label="fine", keep_above=0.5).fingerprint()
    finally:
        ModelFolder(model_folder).labels.unlink()


@pytest.mark.parametrize(
    "settings",
    [
        {"keep_above": 1.0},
        {"model": "m"},
        {"model": "m", "measure": "label", "keep_above": 0.5},
        {"model": "m", "label": "x", "keep_above": 0.5},
        {"model": "m", "keep_share": 1.0},
        {"model": "m", "keep_share": 0.5, "keep_above": 1.0},
        {"model": "m", "keep_below": 1.0, "tokens": 1},
    ],
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        ModelFilter(**settings)
