"""Translation: the model writes one, which is compared with translations by people. The scores are those of sacrebleu."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, ClassVar

from lmcraft.evaluation.methods.generation import Generation
from lmcraft.evaluation.results import ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.task import Task
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

    def __init__(self, task: Task, rows: Sequence[Row]) -> None:
        super().__init__(task, rows)
        tokenizer = BLEU_TOKENIZERS.get(task.config.language.lower().replace("_", "-").partition("-")[0], "13a")
        self._metrics = {name: _metric(name, tokenizer) for name in ("chrf", "bleu")}

    def _judge(self, row: Row, text: str, *, finished: bool) -> ItemResult:
        answer = (self.extract(text) or "").strip()
        references = [[reference] for reference in self._gold[row.number]]
        sums = {name: metric._extract_corpus_statistics([answer], references)[0] for name, metric in self._metrics.items()}
        scores = {name: _score(name, counts) for name, counts in sums.items()}
        return ItemResult(
            row.number,
            values={**scores, "unfinished": float(not finished)},
            sums={name: list(map(int, counts)) for name, counts in sums.items()},
            cluster=self.cluster(row),
            details={"text": text, "answer": answer, "gold": self._gold[row.number]},
        )
