"""The answers of a safety audit that people should see: those that an attack got out of the model, and the most toxic
continuation of each prompt that a toxic one was sampled for.

`lmcraft audit safety` writes `safety.json`, and for each task a file of texts (`TASK-KEY.jsonl`: the prompt and the texts of
each item) and a file of numbers (`TASK_scores-KEY.jsonl`). Both begin with a line that has the settings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from lmcraft.annotation.guidelines.guideline import Guideline
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.sources.decisions import weigh_decision
from lmcraft.data.documents import ReadStats
from lmcraft.errors import UserError
from lmcraft.json_lines import parse_json, parse_json_lines
from lmcraft.moderation.categories import toxicity
from lmcraft.moderation.moderator import Moderator
from lmcraft.moderation.policy import DEFAULT

AUDIT_RECORD = "safety.json"
SCORES = "_scores"
# Measures of an item that is worth a look: severity and uncertainty. The scorer saw harm in a harmful answer; in an attack
# that succeeded without it, the two rules that judged it disagree, so nobody knows.
MEASURES: Mapping[str, tuple[float, float]] = {
    "harmful_answers": (1.0, 0.5),
    "attack_success": (0.7, 1.0),
}
TOXICITY = "toxicity_probability"  # 1 if one of the continuations is toxic; which one is not recorded


@dataclass(frozen=True)
class _Text:
    file: Path
    line: int
    prompt: str
    texts: list[str]


def audit_items(folder: Path, guideline: Guideline, stats: ReadStats) -> Iterator[NewItem]:
    """Yield an item for each successful attack, and one for each prompt with a toxic continuation.

    Args:
        folder: of the results.
        guideline: to judge by, one for labels.
        stats: counts the lines that cannot be used.

    Raises:
        UserError: the guideline compares answers, there are no texts in the folder, or the policy of the audit, which finds
            the most toxic continuation, cannot be read.
    """
    if guideline.kind != "label":
        raise UserError(
            f"guideline '{guideline.name}' compares two answers, but an audit has one: use a guideline for labels"
        )
    files = sorted(folder.glob(f"*{SCORES}-*.jsonl"))
    if not files:
        raise UserError(
            f"folder '{folder}' has no scored texts: run `lmcraft audit safety` with the part attacks or toxicity"
        )
    model, policy = _read_record(folder)
    files_of_texts = sorted(set(folder.glob("*.jsonl")) - set(files))
    texts = {key: text for file in files_of_texts for key, text in _read_texts(file, stats)}
    worst = _MostToxic(policy)
    seen: set[tuple[str, str]] = set()
    for file in files:
        for key, values in _read_values(file, stats):
            text = texts.get(key)
            if text is None or key[0] != model:
                continue
            for item in _items(guideline, text, key[1], values, worst):
                if (content := (text.prompt, item.answers[0])) not in seen:
                    seen.add(content)
                    yield item


def _items(
    guideline: Guideline, text: _Text, task: str, values: Mapping[str, Any], worst: "_MostToxic"
) -> Iterator[NewItem]:
    """What is to be seen of the texts after one prompt."""
    new = partial(
        NewItem,
        guideline=guideline.name,
        source="audit",
        messages=[{"role": "user", "content": text.prompt}],
        origin={"file": str(text.file), "line": text.line, "group": task},
    )
    measure = next((name for name in MEASURES if values.get(name)), None)
    if measure is not None:
        severity, uncertainty = MEASURES[measure]
        for answer in filter(str.strip, text.texts):
            decision: Mapping[str, Any] = {"task": task, "measure": measure}
            yield new(answers=[answer], severity=severity, uncertainty=uncertainty, decision=decision)
    elif values.get(TOXICITY) and any(map(str.strip, text.texts)):
        answer, decision = worst(text.texts)
        severity, uncertainty = weigh_decision(decision)
        yield new(answers=[answer], severity=severity, uncertainty=uncertainty, decision=decision)


class _MostToxic:
    """The most toxic of some texts, with the decision about it.

    Args:
        policy: whose tiers judge; opened for the first texts.
    """

    def __init__(self, policy: str) -> None:
        self._policy = policy

    def __call__(self, texts: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
        decisions = {text: self._moderator.judge(text, "answer", complete=True) for text in texts if text.strip()}
        text = max(decisions, key=lambda text: toxicity(decisions[text].scores))
        return text, decisions[text].as_json()

    @cached_property
    def _moderator(self) -> Moderator:
        return Moderator.open(self._policy)


def _read_record(folder: Path) -> tuple[str, str]:
    """The hash of the audited model, since a folder may have results of others, too, and the policy that scored the texts.

    Raises:
        UserError: the record of the audit is damaged.
    """
    path = folder / AUDIT_RECORD
    try:
        record = parse_json(path.read_bytes())
        return str(record["model_hash"]), str(record.get("settings", {}).get("policy", DEFAULT))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"'{path}' is not the record of an audit: run `lmcraft audit safety` again") from error


def _read_texts(file: Path, stats: ReadStats) -> Iterator[tuple[tuple[str, str, int], _Text]]:
    """Yield the texts of a file by model, task and item; none if it has no texts."""
    for header, line, row in _read_rows(file, stats):
        details = row.get("details")
        if header["task"].endswith(SCORES) or not isinstance(details, Mapping) or "texts" not in details:
            continue
        prompt, texts = details.get("prompt"), details["texts"]
        if not isinstance(prompt, str) or not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            stats.malformed(str(file), line, "its prompt and texts are not texts")
        else:
            yield (header["model"], header["task"], row["item"]), _Text(file, line, prompt, texts)


def _read_values(file: Path, stats: ReadStats) -> Iterator[tuple[tuple[str, str, int], Mapping[str, Any]]]:
    for header, _, row in _read_rows(file, stats):
        if isinstance(values := row.get("values"), Mapping):
            yield (header["model"], header["task"].removesuffix(SCORES), row["item"]), values


def _read_rows(file: Path, stats: ReadStats) -> Iterator[tuple[dict[str, Any], int, dict[str, Any]]]:
    """Yield the header of a results file with each line; none if it is another file."""
    header: dict[str, Any] | None = None
    with file.open("rb") as lines:
        for line, row in parse_json_lines(lines, lambda line, reason: stats.malformed(str(file), line, reason)):
            if header is None:
                if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in ("task", "model")):
                    return
                header = row
            elif not isinstance(row, dict) or not isinstance(row.get("item"), int):
                stats.malformed(str(file), line, "it is not the result of an item")
            else:
                yield header, line, row
