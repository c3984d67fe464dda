"""Verdicts as data for `lmcraft finetune` and as tests for `lmcraft evaluate`.

| file | fields | source |
|---|---|---|
| sft.jsonl | `messages` | accepted answers, and corrections in place of the answers that they correct |
| preferences.jsonl | `prompt`, `chosen`, `rejected` | a correction over its original; the better one of two answers |
| judgments.jsonl | `messages`, `label` | accepted answers (true) and rejected ones (false) |
| labels.jsonl | `text`, `label` | texts and their labels; labels-NAME.jsonl for each guideline, if there are several |
| regressions.jsonl, .toml | those of `kind = "checks"` | rejected answers, what an answer must and must not contain |

Only final verdicts count, of items that are neither gold nor part of a calibration round. An answer that one guideline
rejects is no good answer in sft.jsonl and judgments.jsonl, whatever others say. Nothing tells who judged.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from lmcraft.annotation.agreement.report import agreement_report
from lmcraft.annotation.answer_tests import as_column, consistent_tests
from lmcraft.annotation.audit_log import log as audit_log
from lmcraft.annotation.records import Json, SettledItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import UserError
from lmcraft.folder import sha256_of
from lmcraft.folder.examples import ExampleFolder
from lmcraft.folder.layout import DatasetFolder
from lmcraft.json_lines import format_json

SFT, PREFERENCES, JUDGMENTS, TESTS = "sft.jsonl", "preferences.jsonl", "judgments.jsonl", "regressions.jsonl"
TASK = "regressions.toml"
TASK_TEXT = f'''description = "Answers that reviewers rejected, and what they want instead."
kind = "checks"
data = "{TESTS}"
'''
AGREEMENT = ("shared_items", "agreement", "cohen", "krippendorff")
"""What the manifest has of the report on agreement: nothing about single people."""
ITEMS_PER_TRANSACTION = 200
TEST_ID_DIGITS = 8  # of an item's id, in the name of a test


@dataclass(frozen=True)
class Export:
    """What was written."""

    counts: Mapping[str, int]
    """The number of rows of each file."""
    items: Sequence[str]
    """The ids of the items that have rows."""


def export_verdicts(store: ReviewStore, path: Path, guideline: str = "") -> Export:
    """Write the verdicts of a store as a folder of examples and tests. The store is not changed: see `record_export`.

    Args:
        store: read item by item.
        path: an existing, empty folder.
        guideline: only verdicts under this one; empty: all.

    Raises:
        UserError: there is no such guideline, or no verdict that makes a row.
        StoreError: the database failed.
    """
    if guideline:
        store.guideline(guideline)
    survey = _Survey(store)
    labeled = sorted(name for name in survey.labeled if guideline in ("", name))
    label_files = {name: f"labels-{name}.jsonl" if len(labeled) > 1 else "labels.jsonl" for name in labeled}
    kinds = {SFT: "conversations", PREFERENCES: "preferences", JUDGMENTS: "judgments"}
    kinds |= {**dict.fromkeys(label_files.values(), "labels"), TESTS: "tests"}
    items: list[str] = []
    summary = _Summary()
    with ExampleFolder(path, kinds) as folder:
        for item in store.settled(guideline):
            summary.add(item)
            rows = list(_rows(item, label_files, survey, folder.left_out))
            for name, row in rows:
                folder.add(name, row)
            items += [item.id] if rows else []
        if not folder.counts:
            raise UserError(
                f"store '{store.name}' has no verdicts to export ({summary.num_items:,} items are settled"
                + (f" under guideline '{guideline}'" if guideline else "")
                + "): review some items first"
            )
        folder.finish(summary.manifest(store), {TASK: TASK_TEXT} if TESTS in folder.counts else None)
    return Export(folder.counts, items)


def record_export(store: ReviewStore, export: Export, path: Path, actor: str) -> None:
    """Mark the items of an export whose folder is complete, and note the hash of its manifest in the audit log.

    Args:
        store: that they are in.
        export: what was written.
        path: the folder.
        actor: who exported.

    Raises:
        StoreError: the database failed.
    """
    manifest_hash = sha256_of(DatasetFolder(path).manifest_file)
    for start in range(0, len(export.items), ITEMS_PER_TRANSACTION):  # reviewers get their turns in between
        store.mark_exported(export.items[start : start + ITEMS_PER_TRANSACTION], actor, manifest_hash)


class _Summary:
    """What the manifest says about the verdicts: numbers, and never names of people."""

    def __init__(self) -> None:
        self.num_items = 0
        self._sources: Counter[str] = Counter()
        self._num_verdicts = self._num_adjudicated = 0
        self._reviewers: set[str] = set()
        self._labels: dict[str, Counter[str]] = {}
        self._versions: dict[str, Counter[int]] = {}

    def add(self, item: SettledItem) -> None:
        self.num_items += 1
        self._sources[item.source] += 1
        self._num_verdicts += len(item.verdicts)
        self._num_adjudicated += item.is_adjudicated
        self._reviewers.update(verdict["reviewer"] for verdict in item.verdicts)
        self._labels.setdefault(item.guideline, Counter())[item.label] += 1
        self._versions.setdefault(item.guideline, Counter())[item.version] += 1

    def manifest(self, store: ReviewStore) -> Json:
        """The entries of the manifest. The head of the audit log is read after all verdicts, so it covers them."""
        guidelines = {}
        for name, labels in sorted(self._labels.items()):
            hashes = {version.version: version.sha256 for version in store.guideline_versions(name)}
            versions = {
                str(version): {"sha256": hashes[version], "items": count}
                for version, count in sorted(self._versions[name].items())
            }
            report = agreement_report(store, name)
            agreement = {measure: report[measure] for measure in AGREEMENT}
            guidelines[name] = {"versions": versions, "labels": dict(sorted(labels.items())), "agreement": agreement}
        read = {
            "items": self.num_items,
            "adjudicated": self._num_adjudicated,
            "verdicts": self._num_verdicts,
            "reviewers": len(self._reviewers),
            "sources": dict(sorted(self._sources.items())),
        }
        with store.reading() as (connection, _):
            head = audit_log.head(connection)
        return {"store": store.name, "audit": f"{head.seq}:{head.hash}", "read": read, "guidelines": guidelines}


class _Survey:
    """What has to be known of all verdicts before the first one is written."""

    def __init__(self, store: ReviewStore) -> None:
        self.labeled: set[str] = set()
        """The guidelines whose verdicts label texts."""
        self._rejected: set[bytes] = set()
        for item in store.settled():
            if item.kind == "label" and item.outcome != "undecided":
                self.labeled.add(item.guideline)
            if item.outcome == "reject" and item.subject == "answer":
                self._rejected.add(self._digest(item, item.answers[0]))

    def is_rejected(self, item: SettledItem, answer: str) -> bool:
        """Whether some guideline rejects an answer in the context of an item."""
        return self._digest(item, answer) in self._rejected

    def _digest(self, item: SettledItem, answer: str) -> bytes:
        return sha256(format_json([_messages(item), answer]).encode()).digest()


def _rows(
    item: SettledItem, label_files: Mapping[str, str], survey: _Survey, left_out: Counter[str]
) -> Iterator[tuple[str, Json]]:
    """Each row of an item, and the file it belongs to.

    Args:
        item: with a final verdict.
        label_files: the file of labels of each guideline.
        survey: of all verdicts.
        left_out: counts what makes no row, by reason.
    """
    if item.outcome == "undecided":
        left_out["undecided"] += 1
        return
    if item.kind == "label":
        yield label_files[item.guideline], {"text": item.answers[0], "label": item.label}
    yield from _test_rows(item, left_out)
    if item.subject == "answer" and (prompt := _question(item)):
        yield from _answer_rows(item, prompt, survey, left_out)
    elif item.subject == "answer":
        left_out["sft, preferences, judgments: no question before the answer"] += 1


def _answer_rows(
    item: SettledItem, prompt: Sequence[Json], survey: _Survey, left_out: Counter[str]
) -> Iterator[tuple[str, Json]]:
    accepted = item.outcome == "accept" and not survey.is_rejected(item, item.answers[0])
    if item.outcome == "accept" and not accepted:
        left_out["sft, judgments: another guideline rejects the answer"] += 1
    correction = _correction(item)
    if good := correction or (item.answers[0] if accepted else ""):
        yield SFT, {"messages": [*_learn_only_the_last(prompt), _answer(good)]}
    for chosen, rejected in _pairs(item, correction):
        if survey.is_rejected(item, chosen):
            left_out["preferences: another guideline rejects the better answer"] += 1
        elif chosen != rejected:
            yield PREFERENCES, {"prompt": prompt, "chosen": [_answer(chosen)], "rejected": [_answer(rejected)]}
    if accepted or item.outcome == "reject":
        yield JUDGMENTS, {"messages": [*prompt, _answer(item.answers[0])], "label": accepted}


def _correction(item: SettledItem) -> str:
    """The better answer that a reviewer wrote; empty: none, or one that was judged."""
    return item.correction if item.correction.strip() and item.correction not in item.answers else ""


def _pairs(item: SettledItem, correction: str) -> Iterator[tuple[str, str]]:
    """The better and the worse answer of each pair."""
    if item.outcome in ("first", "second"):
        chosen, rejected = item.answers if item.outcome == "first" else reversed(item.answers)
        yield chosen, rejected
    if correction:
        yield from ((correction, answer) for answer in item.answers)


def _test_rows(item: SettledItem, left_out: Counter[str]) -> Iterator[tuple[str, Json]]:
    """The test that a later model must pass: not to prefer or repeat a rejected answer, to have in it what was asked for."""
    contains, excludes = consistent_tests(item.contains, item.excludes, item.correction)
    if num_left_out := len(item.contains) + len(item.excludes) - len(contains) - len(excludes):
        left_out["tests: texts that contradict each other"] += num_left_out
    tests: dict[str, Any] = {"contains": as_column(contains), "excludes": as_column(excludes)}
    tests = {name: texts for name, texts in tests.items() if texts}
    if item.outcome == "reject" and item.subject == "answer":
        tests |= {"better": correction} if (correction := _correction(item)) else {}
        tests["rejected"] = item.answers[0]
    if not tests:
        return
    question = _question(item) if item.subject == "answer" else []
    if item.subject == "prompt":
        question = [*_messages(item), {"role": "user", "content": item.answers[0]}]
    if not question:
        left_out["tests: no question before the answer"] += 1
        return
    yield TESTS, {"name": f"{item.guideline} {item.rule} {item.id[:TEST_ID_DIGITS]}", "messages": question, **tests}


def _messages(item: SettledItem) -> list[Json]:
    return [{"role": message["role"], "content": message["content"]} for message in item.messages]


def _question(item: SettledItem) -> list[Json]:
    """The messages that the answer answers; empty if there are none."""
    messages = _messages(item)
    is_asked = any(message["role"] == "user" for message in messages) and messages[-1]["role"] != "assistant"
    return messages if is_asked else []


def _learn_only_the_last(prompt: Sequence[Json]) -> list[Json]:
    """Answers in the context were not judged, so they are not learned."""
    return [message | {"weight": 0} if message["role"] == "assistant" else message for message in prompt]


def _answer(content: str) -> Json:
    return {"role": "assistant", "content": content}
