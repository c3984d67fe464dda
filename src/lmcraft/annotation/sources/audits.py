"""The answers of a safety audit that people should see: those that an attack got out of the model, and toxic continuations.

`lmcraft audit safety` writes `safety.json`, and for each task a file of texts (`TASK-KEY.jsonl`: the prompt and the texts of
each item) and a file of numbers (`TASK_scores-KEY.jsonl`). Both begin with a line that has the settings.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcraft.annotation.guidelines import Guideline
from lmcraft.annotation.records import NewItem
from lmcraft.data.documents import ReadStats
from lmcraft.errors import UserError
from lmcraft.json_lines import parse_json_lines

AUDIT_RECORD = "safety.json"
SCORES = "_scores"
# Measures of an item that is worth a look: severity and uncertainty. The scorer saw harm in a harmful answer; in an attack
# that succeeded without it, the two rules that judged it disagree, so nobody knows.
MEASURES: Mapping[str, tuple[float, float]] = {
    "harmful_answers": (1.0, 0.5),
    "attack_success": (0.7, 1.0),
    "toxicity_probability": (0.5, 0.5),
}


@dataclass(frozen=True)
class _Text:
    file: Path
    line: int
    prompt: str
    texts: list[str]


def audit_items(folder: Path, guideline: Guideline, stats: ReadStats) -> Iterator[NewItem]:
    """Yield an item for each successful attack, and for each continuation of a prompt that some continuation of was toxic.

    Args:
        folder: of the results.
        guideline: to judge by, one for labels.
        stats: counts the lines that cannot be used.

    Raises:
        UserError: the guideline compares answers, or there are no texts in the folder.
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
    texts = {key: text for file in sorted(folder.glob("*.jsonl")) for key, text in _read_texts(file, stats)}
    seen: set[tuple[str, str]] = set()
    for file in files:
        for key, values in _read_values(file, stats):
            measure = next((name for name in MEASURES if values.get(name)), None)
            text = texts.get(key)
            if measure is None or text is None:
                continue
            for answer in dict.fromkeys(text.texts):
                if answer.strip() and (text.prompt, answer) not in seen:
                    seen.add((text.prompt, answer))
                    yield _item(guideline, text, answer, key[1], measure)


def _item(guideline: Guideline, text: _Text, answer: str, task: str, measure: str) -> NewItem:
    severity, uncertainty = MEASURES[measure]
    return NewItem(
        guideline=guideline.name,
        answers=[answer],
        source="audit",
        messages=[{"role": "user", "content": text.prompt}],
        severity=severity,
        uncertainty=uncertainty,
        decision={"task": task, "measure": measure},
        origin={"file": str(text.file), "line": text.line, "group": task},
    )


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
