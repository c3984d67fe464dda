"""How well lmcraft's classifier tells harmful texts from harmless ones, beside lexicons and alt-profanity-check.

python benchmarks/moderation/classify.py ROWS [--classifier FILE] [--out FILE]

ROWS is the folder that data.py wrote. alt-profanity-check comes from its registry, for its weights; it needs scikit-learn,
and is left out without it.
"""

import argparse
import hashlib
import json
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmcraft.errors import UserError
from lmcraft.hub.data_file import fetch_data_file
from lmcraft.moderation import Moderator, read_policy
from lmcraft.moderation.classifier.linear import LinearClassifier
from lmcraft.moderation.classifier.tiers import default_classifier
from lmcraft.moderation.normalization import normalize_term
from lmcraft.statistics.intervals import describe_metric
from lmcraft.statistics.proportions import proportion
from lmcraft.statistics.ranking import average_precision, step_area

Score = Callable[[str], float]
LANGUAGES = {"en": "English", "zh": "Chinese"}
FUNCTIONAL_TESTS = ("hatecheck", "mhc")  # templates: reported by function, and not in the average precision
MAX_CLEAN = 6_000  # sentences of each language
PEER = "alt-profanity-check==1.9.1"
PASSING = (
    "Cock-a-doodle-doo",
    "Scunthorpe",
    "Penistone",
    "The cock crowed.",
    "cocktail",
    "assess",
    "射击",
    "性别",
    "操作系统",
)


def read_rows(file: Path) -> list[dict]:
    """The rows of JSON lines."""
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def build_scores(classifier: LinearClassifier) -> dict[str, Score]:
    """What gives texts a score, by its name in the tables."""
    policy = read_policy()
    scores: dict[str, Score] = {"classifier": lambda text: classifier.harm(normalize_term(text))}
    try:
        lexicons = Moderator.open(replace(policy, tiers=replace(policy.tiers, classifier="")))
    except (UserError, ImportError) as error:
        print(f"without lexicons: {error}", file=sys.stderr)
    else:
        scores["lexicons"] = lambda text: max(lexicons.judge(text, "answer", complete=True).scores.values(), default=0.0)
    if (peer := peer_score()) is not None:
        scores["alt-profanity-check"] = peer
    return scores


def peer_score() -> Score | None:
    """alt-profanity-check's probability, from the two files of its wheel, which are pickles of scikit-learn."""
    try:
        import joblib
    except ImportError:
        print("without alt-profanity-check: it needs scikit-learn", file=sys.stderr)
        return None
    warnings.filterwarnings("ignore")
    model, vectorizer = (
        joblib.load(fetch_data_file(f"pypi:{PEER}/profanity_check/data/{name}.joblib")) for name in ("model", "vectorizer")
    )
    return lambda text: float(model.predict_proba(vectorizer.transform([text]))[0, 1])


def score_all(score: Score, rows: Iterable[dict]) -> NDArray[np.float64]:
    """The scores of rows, in their order."""
    return np.array([score(row["text"]) for row in rows])


def some(rows: Sequence[dict], count: int) -> list[dict]:
    """At most so many rows, by the hash of their texts."""
    return sorted(rows, key=lambda row: hashlib.sha256(row["text"].encode()).digest())[:count]


def precision_tables(scores: dict[str, Score], held_out: Sequence[dict], clean: Sequence[dict]) -> Iterable[str]:
    """Average precision by language and by source, each alone and among clean sentences."""
    names = [*scores, *(["both"] if "lexicons" in scores else [])]
    yield "| held out | texts | harmful | among | " + " | ".join(names) + " |"
    yield "|---" * (4 + len(names)) + "|"
    for language, title in LANGUAGES.items():
        rows = [row for row in held_out if row["language"] == language]
        literature = [row for row in clean if row["language"] == language]
        values = {name: score_all(score, (*rows, *literature)) for name, score in scores.items()}
        if "lexicons" in values:
            values["both"] = np.maximum(values["classifier"], values["lexicons"])
        sources = dict.fromkeys(row["source"] for row in rows)
        counted = [source for source in sources if source not in FUNCTIONAL_TESTS]
        for label, chosen in ((f"**{title}**", counted), *((source, [source]) for source in sources)):
            held = np.array([row["source"] in chosen for row in rows])
            harmful = np.array([bool(row["labels"]) for row in rows]) & held
            for among, mask in (
                ("each other", np.append(held, np.zeros(len(literature), bool))),
                ("and clean sentences", np.append(held, np.ones(len(literature), bool))),
            ):
                positive = np.append(harmful, np.zeros(len(literature), bool))[mask]
                if positive.all():
                    continue
                figures = [describe_precision(value[mask], positive, label[0] == "*") for value in values.values()]
                yield (
                    f"| {label} | {held.sum():,} | {harmful.sum() / held.sum():.0%} | {among} | "
                    + " | ".join(figures)
                    + " |"
                )


def describe_precision(scores: NDArray[np.float64], positive: NDArray[np.bool_], with_interval: bool) -> str:
    """The average precision, and its interval."""
    if not with_interval:
        return f"{step_area(np.column_stack([scores, positive])[None])[0]:.3f}"
    return describe_metric(asdict(average_precision(scores, positive)))


def alarm_table(moderators: dict[str, Moderator], clean: Sequence[dict]) -> Iterable[str]:
    """The share of clean sentences in which a category counts by the default policy, by corpus."""
    yield "| clean sentences | number | " + " | ".join(moderators) + " |"
    yield "|---" * (2 + len(moderators)) + "|"
    corpora: dict[str, list[dict]] = defaultdict(list)
    for row in clean:
        corpora[row["corpus"]].append(row)
        corpora[f"**{LANGUAGES[row['language']]}**"].append(row)
    alarms = {
        name: {id(row): bool(moderator.judge(row["text"], "answer").categories) for row in clean}
        for name, moderator in moderators.items()
    }
    for corpus, rows in sorted(corpora.items()):
        shares = [proportion(sum(hits[id(row)] for row in rows), len(rows)) for hits in alarms.values()]
        yield f"| {corpus} | {len(rows):,} | " + " | ".join(map(percent, shares)) + " |"


def percent(share: object) -> str:
    """A share with its interval, in percent."""
    value, low, high = (getattr(share, name) for name in ("value", "low", "high"))
    return f"{value:.2%}" if low is None else f"{value:.2%} ({low:.2%} to {high:.2%})"


def group_tables(moderators: dict[str, Moderator], held_out: Sequence[dict]) -> Iterable[str]:
    """Functional tests: the share of sentences in which a category counts, by what is tested, then by group."""
    rows = [row for row in held_out if row["source"] in FUNCTIONAL_TESTS]
    for title, part in (("function", 0), ("harmless sentences about", 1)):
        yield f"\n| language | {title} | sentences | " + " | ".join(moderators) + " |"
        yield "|---" * (3 + len(moderators)) + "|"
        groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
        for row in rows:
            if part == 0 or not row["labels"]:
                groups[row["language"], row["group"].split("|")[part]].append(row)
        for (language, group), members in sorted(groups.items()):
            shares = [
                proportion(sum(bool(m.judge(row["text"], "answer").categories) for row in members), len(members))
                for m in moderators.values()
            ]
            yield f"| {language} | {group} | {len(members)} | " + " | ".join(f"{share.value:.1%}" for share in shares) + " |"


def speed_lines(classifier: LinearClassifier, clean: Sequence[dict]) -> Iterable[str]:
    """Megabytes of plain text per second that the classifier scores on one core."""
    for language, title in LANGUAGES.items():
        text = normalize_term("\n".join(row["text"] for row in clean if row["language"] == language)[:2_000_000])
        seconds = []
        for _ in range(5):
            begin = time.process_time()
            classifier.scores(text)
            seconds.append(time.process_time() - begin)
        yield f"{title}: {len(text.encode()) / min(seconds) / 1e6:.1f} MB/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--classifier", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    classifier = LinearClassifier.read(options.classifier) if options.classifier else default_classifier()
    held_out, clean = read_rows(options.rows / "held-out.jsonl"), read_rows(options.rows / "clean.jsonl")
    clean = [row for name in LANGUAGES for row in some([row for row in clean if row["language"] == name], MAX_CLEAN)]
    policy = read_policy()
    if options.classifier:
        policy = replace(policy, tiers=replace(policy.tiers, classifier=str(options.classifier.absolute())))
    scores = build_scores(classifier)
    moderators = {"classifier": Moderator.open(replace(policy, tiers=replace(policy.tiers, lexicons=())))}
    if "lexicons" in scores:
        moderators["lexicons"] = Moderator.open(replace(policy, tiers=replace(policy.tiers, classifier="")))
        moderators["both"] = Moderator.open(policy)
    lines = [f"Classifier {classifier.fingerprint[:12]}, policy {policy.identity}.\n"]
    lines += [*speed_lines(classifier, clean), ""]
    lines += [f"{text}: {moderators['classifier'].judge(text, 'answer').action}" for text in PASSING]
    lines += ["", *precision_tables(scores, held_out, clean), "", *alarm_table(moderators, clean)]
    lines += group_tables(moderators, held_out)
    report = "\n".join(lines) + "\n"
    print(report)
    if options.out:
        options.out.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
