"""Translation: the model writes one, which is compared with translations by people. The scores are those of sacrebleu."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, ClassVar

from lmcraft.evaluation.methods.generation import Generation
from lmcraft.evaluation.results import ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.extras import import_optional

BLEU_TOKENIZERS = {"zh": "zh", "ja": "char", "th": "char"}  # languages without spaces between words; 13a for others


def _score(metric: str, sums: Sequence[float]) -> float:
    """The score of counts that are added up over items; they do not depend on the tokenizer any more."""
    return float(_metric(metric, "13a")._compute_score_from_stats(list(map(int, sums))).score)


@cache
def _metric(name: str, tokenizer: str) -> Any:
    metrics = import_optional("sacrebleu.metrics", "translation", "kind='translation'")
    return metrics.BLEU(tokenize=tokenizer) if name == "bleu" else metrics.CHRF()


def _measure(name: str) -> Measure:
    of_sums: Callable[[Sequence[float]], float] = partial(_score, name)
    return Measure(name, "corpus", of_sums=of_sums)


class Translation(Generation):
    """Generates a translation for each row; `answer` is the reference, or a list of them."""

    measures: ClassVar[Sequence[Measure]] = (
        _measure("chrf"),
        _measure("bleu"),
        Measure("unfinished", higher_is_better=False),
    )

    def _judge(self, row: Row, text: str, *, finished: bool) -> ItemResult:
        answer, gold = (self.extract(text) or "").strip(), self._gold[row.number]
        result = judge_translation(answer, gold, self.task.config.language, item=row.number, cluster=self.cluster(row))
        details = {"text": text, "answer": answer, "gold": gold}
        return replace(result, values={**result.values, "unfinished": float(not finished)}, details=details)


def judge_translation(
    answer: str, references: Sequence[str], language: str = "en", *, item: int = 0, cluster: str = ""
) -> ItemResult:
    """The scores of one translation, and the counts of which `compute_metric` makes those of a corpus.

    Args:
        answer: the translation.
        references: translations by people.
        language: of the translations, as in en or zh-CN: it decides what a word is.
        item: its number.
        cluster: what it shares with other items.
    """
    tokenizer = BLEU_TOKENIZERS.get(language.lower().replace("_", "-").partition("-")[0], "13a")
    streams = [[reference] for reference in references]
    sums = {
        name: list(map(int, _metric(name, tokenizer)._extract_corpus_statistics([answer], streams)[0]))
        for name in ("chrf", "bleu")
    }
    return ItemResult(item, {name: _score(name, counts) for name, counts in sums.items()}, cluster=cluster, sums=sums)
