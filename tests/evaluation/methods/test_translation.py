"""Translations are scored as sacrebleu scores them."""

from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.translation import Translation
from lmcraft.evaluation.results import ItemResult, compare_results, compute_figures
from tests.evaluation.conftest import WriteTask

sacrebleu = pytest.importorskip("sacrebleu")

SETTINGS = {"kind": "translation", "prompt": "{{ en }} =", "answer": "zh", "max_new_tokens": 8}
PAIRS = [
    ("找不到文件", "没有找到文件", ["The file was not found.", "No such file."], "The file was not found"),
    ("打开文件", "打开文件", ["Open the file."], "Open the file."),
    ("今天天气很好。", "今天的天气很好。", ["The weather is fine today."], "Today the weather is good."),
    ("你好", "", ["Hello"], ""),
]


def judge(write_task: WriteTask, answers: list[str], references: list[Any], language: str) -> list[ItemResult]:
    rows = [{"en": str(n), "zh": reference} for n, reference in enumerate(references)]
    task = write_task(rows, **SETTINGS, language=language)
    method = Translation(task, task.rows())
    pairs = zip(task.rows(), answers, strict=True)
    return [method._judge(row, f" {answer}\n", finished=True) for row, answer in pairs]


@pytest.mark.parametrize(("language", "tokenizer"), [("zh", "zh"), ("zh_CN", "zh"), ("ZH-Hant", "zh"), ("ja", "char")])
def test_figures_are_those_of_sacrebleu(write_task: WriteTask, language: str, tokenizer: str) -> None:
    references, answers = [pair[0] for pair in PAIRS], [pair[1] for pair in PAIRS]
    figures = compute_figures(Translation.measures, judge(write_task, answers, references, language))
    values = {figure.measure.name: figure.metric.value for figure in figures}
    assert values["bleu"] == pytest.approx(sacrebleu.corpus_bleu(answers, [references], tokenize=tokenizer).score)
    assert values["chrf"] == pytest.approx(sacrebleu.corpus_chrf(answers, [references]).score)
    assert values["unfinished"] == 0


def test_an_answer_may_have_several_references(write_task: WriteTask) -> None:
    references, answers = [pair[2] for pair in PAIRS], [pair[3] for pair in PAIRS]
    figures = compute_figures(Translation.measures, judge(write_task, answers, references, "en"))
    values = {figure.measure.name: figure.metric.value for figure in figures}
    streams = [[texts[0] for texts in references], [[*texts, None][1] for texts in references]]
    assert values["bleu"] == pytest.approx(sacrebleu.corpus_bleu(answers, streams).score)
    assert values["chrf"] == pytest.approx(sacrebleu.corpus_chrf(answers, streams).score)


def test_the_interval_is_that_of_resampled_items(write_task: WriteTask) -> None:
    references, answers = [pair[0] for pair in PAIRS[:3]] * 20, [pair[1] for pair in PAIRS[:3]] * 20
    figures = compute_figures(Translation.measures, judge(write_task, answers, references, "zh"))
    chrf = next(figure.metric for figure in figures if figure.measure.name == "chrf")
    theirs = sacrebleu.metrics.CHRF().corpus_score(answers, [references], n_bootstrap=2000)
    assert chrf.low is not None and chrf.high is not None
    assert (chrf.high - chrf.low) / 2 == pytest.approx(theirs._ci, rel=0.15)


def test_two_models_are_compared_by_the_figures_of_the_corpus(write_task: WriteTask) -> None:
    references, answers = [pair[0] for pair in PAIRS[:3]] * 10, [pair[1] for pair in PAIRS[:3]] * 10
    first, second = (judge(write_task, texts, references, "zh") for texts in (answers, references))
    compared = compare_results(Translation.measures[0], first, second)
    assert compared is not None
    assert compared.gain.value == pytest.approx(100 - sacrebleu.corpus_chrf(answers, [references]).score)
    assert compared.p_value is not None and compared.p_value < 0.01


def test_results_can_be_saved(write_task: WriteTask) -> None:
    [result] = judge(write_task, ["打开文件"], ["打开文件"], "zh")
    assert ItemResult.from_json(result.to_json()) == result
    assert result.values["chrf"] == 100


def test_the_model_writes_the_translation(write_task: WriteTask, model: EvaluatedModel) -> None:
    rows = [{"en": f"the quick {n}", "zh": "天地"} for n in range(10)]
    task = write_task(rows, **SETTINGS, language="zh")
    results = [result for batch in Translation(task, task.rows()).score(model, set()) for result in batch]
    assert sorted(result.item for result in results) == list(range(10))
    assert {figure.measure.name for figure in compute_figures(Translation.measures, results)} == {
        "chrf",
        "bleu",
        "unfinished",
    }


def test_an_empty_reference_is_refused(write_task: WriteTask) -> None:
    with pytest.raises(UserError, match=r"toy.jsonl:2: its answer is empty"):
        judge(write_task, ["a", "b"], ["a", ""], "en")
