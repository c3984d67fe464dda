"""Tests: what an answer must and must not contain, and which of two answers the model must find more likely.

| column | the test |
|---|---|
| `messages` or `prompt` | what is asked (or the task's template `prompt`) |
| `contains`, `excludes` | texts (one, or a list) or /regular expressions/ that the answer must or must not contain |
| `better`, `rejected` | the model must find the better answer more likely per character (`acc_norm` of multiple choice) |
| `rejected` alone | the model must not write this answer |
| `name` | what the test is called; without it, its file and line |

A row passes if each of its tests does. {"text": "/etc/"} is a text, also between slashes. Regular expressions run in the
sandbox, since some take forever.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel, Question
from lmcraft.evaluation.methods.method import Method, normalize_text
from lmcraft.evaluation.results import ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.sandbox import run_program
from lmcraft.evaluation.task import Task

MAX_REGEX_SECONDS = 2.0
NOTHING_TO_CHECK = "it has nothing to check: add contains, excludes, or better and rejected"


class Expression(NamedTuple):
    """What is looked for in an answer."""

    text: str
    pattern: str | None
    """The regular expression; None: the text itself."""


@dataclass(frozen=True)
class Check:
    """One item."""

    row: Row
    question: Question
    contains: tuple[Expression, ...]
    excludes: tuple[Expression, ...]
    better: str
    rejected: str

    @property
    def compares(self) -> bool:
        """Whether the likelihoods of two answers are compared."""
        return bool(self.better)

    @property
    def generates(self) -> bool:
        """Whether the model has to write an answer."""
        return bool(self.contains or self.excludes or not self.better)


class Checks(Method):
    """Asks the question of each row, and applies its tests to the answer and to the likelihoods."""

    measures: ClassVar[Sequence[Measure]] = (Measure("passed"), Measure("unfinished", higher_is_better=False))

    def __init__(self, task: Task, rows: Sequence[Row]) -> None:
        super().__init__(task, rows)
        self._checks = {row.number: self._check(row) for row in rows}

    def gold_text(self, row: Row) -> str:
        return str(row.values.get("better") or "")

    def item_text(self, row: Row) -> str:
        return self.prompt(row) + self.task.config.delimiter + self.gold_text(row)

    def prompt(self, row: Row) -> str:
        question = _question(self.task, row)
        return question if isinstance(question, str) else "\n".join(message["content"] for message in question)

    def question(self, row: Row) -> Question:
        return self._checks[row.number].question

    def question_text(self, row: Row) -> str:
        return self.prompt(row)

    def answer_text(self, row: Row, result: ItemResult) -> str:
        failures = "; ".join(result.details.get("failures", ()))
        return "\n".join(part for part in (result.details.get("text", ""), f"({failures or 'passed'})") if part)

    def score(self, model: EvaluatedModel, done: Collection[int]) -> Iterator[list[ItemResult]]:
        failures: dict[int, list[str]] = {}
        for window in self.windows(done):
            failures |= self._compare(model, [self._checks[row.number] for row in window])
            checks = [self._checks[row.number] for row in window if row.number not in done]
            yield [self._judge(check, failures[check.row.number]) for check in checks if not check.generates]
        answered = {number for number, check in self._checks.items() if not check.generates}
        for row, text, finished in self.generate(model, answered | set(done)):
            check = self._checks[row.number]
            problems = failures[row.number] + self._examine(check, text, finished=finished)
            yield [self._judge(check, problems, text, finished=finished)]

    def _check(self, row: Row) -> Check:
        question = _question(self.task, row)
        with row.errors():
            if not isinstance(question, str) and self.task.config.few_shot.count:
                raise UserError("its question is a chat, which few_shot cannot precede: put the examples into messages")
            contains, excludes = (_expressions(row.values, column) for column in ("contains", "excludes"))
            better, rejected = (_text(row.values, column) for column in ("better", "rejected"))
            if better and not rejected:
                raise UserError("it has a better answer, but no rejected one: add rejected, or use contains")
            if better and better == rejected:
                raise UserError("its better and its rejected answer are the same: change one of them, or remove the row")
            if not (contains or excludes or rejected):
                raise UserError(NOTHING_TO_CHECK)
        whole_question = self.examples + question if isinstance(question, str) else question
        return Check(row, whole_question, contains, excludes, better, rejected)

    def _compare(self, model: EvaluatedModel, checks: Sequence[Check]) -> dict[int, list[str]]:
        """What is wrong with the likelihoods, by item."""
        config = self.task.config
        texts = []
        for check in (check for check in checks if check.compares):
            with check.row.errors():
                for answer in (check.better, check.rejected):
                    texts.append(model.encode_answer(check.question, answer, delimiter=config.delimiter, chat=config.chat))
        likelihoods = iter(model.score(texts) if texts else ())
        failures: dict[int, list[str]] = {check.row.number: [] for check in checks}
        for check in (check for check in checks if check.compares):
            better, rejected = (next(likelihoods).total / len(answer) for answer in (check.better, check.rejected))
            if not better > rejected:
                failures[check.row.number].append(
                    f"the better answer is no more likely than the rejected one ({better:.3f} and {rejected:.3f} nats per "
                    "character)"
                )
        return failures

    def _examine(self, check: Check, text: str, *, finished: bool) -> list[str]:
        """What is wrong with the text of an answer."""
        failures = []
        for expression in check.contains:
            if problem := self._look_for(expression, text, expected=True):
                failures.append(problem)
        for expression in check.excludes:
            if problem := self._look_for(expression, text, expected=False):
                failures.append(problem)
        if check.rejected and not check.better and self._repeats(text, check.rejected, finished=finished):
            failures.append("the answer is the rejected one again")
        return failures

    def _look_for(self, expression: Expression, text: str, *, expected: bool) -> str:
        """Why an expression that is or is not expected in an answer fails it; empty: it does not."""
        if (pattern := expression.pattern) is not None:
            flags = "re.IGNORECASE" if self.task.config.ignore_case else "0"
            outcome = run_program(f"import re\nassert re.search({pattern!r}, {text!r}, {flags})", seconds=MAX_REGEX_SECONDS)
            if not outcome.passed and not outcome.reason.startswith("AssertionError"):
                return f"{expression.text} cannot be searched for ({outcome.reason})"
            contained, shown = outcome.passed, expression.text
        else:
            contained, shown = self._normalized(expression.text) in self._normalized(text), repr(expression.text)
        if contained == expected:
            return ""
        return f"the answer lacks {shown}" if expected else f"the answer contains {shown}"

    def _repeats(self, text: str, rejected: str, *, finished: bool) -> bool:
        """Whether an answer is the rejected one, or begins as it does where its length was limited."""
        text, rejected = self._normalized(text), self._normalized(rejected)
        return bool(text) and (text == rejected if finished else rejected.startswith(text))

    def _normalized(self, text: str) -> str:
        return normalize_text(text, ignore_case=self.task.config.ignore_case)

    def _judge(self, check: Check, failures: Sequence[str], text: str | None = None, *, finished: bool = True) -> ItemResult:
        details: dict[str, Any] = {"name": _name(check.row), "failures": list(failures)}
        values = {"passed": float(not failures)}
        if text is not None:
            details["text"] = text
            values["unfinished"] = float(not finished)
        return ItemResult(check.row.number, values, cluster=self.cluster(check.row), details=details)


def _name(row: Row) -> str:
    return str(row.values.get("name") or row.origin)


def _question(task: Task, row: Row) -> Question:
    """The task's template, or the column messages or prompt."""
    if task.config.prompt:
        return row.text(task.config.prompt, "prompt")
    with row.errors():
        if row.values.get("messages") is not None:
            return _messages(row.values["messages"])
        if not (prompt := _text(row.values, "prompt")):
            raise UserError("it has neither messages nor a prompt: add one of them, or set prompt = ... in the task")
        return prompt


def _messages(value: Any) -> list[dict[str, str]]:
    is_chat = isinstance(value, list) and all(
        isinstance(message, Mapping) and isinstance(message.get("role"), str) and isinstance(message.get("content"), str)
        for message in value
    )
    if not is_chat or not value:
        raise UserError(f"its messages are {value!r:.100}: write a list of objects with role and content, which are texts")
    if value[-1]["role"] == "assistant":
        raise UserError("its last message is the assistant's: end with what the model shall answer")
    return [{"role": message["role"], "content": message["content"]} for message in value]


def _text(values: Mapping[str, Any], column: str) -> str:
    value = values.get(column)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"its {column} is {value!r:.100}: write a text that is not empty, or leave it out")
    return value


def _expressions(values: Mapping[str, Any], column: str) -> tuple[Expression, ...]:
    value = values.get(column)
    entries = [] if value is None else value if isinstance(value, list) else [value]
    expressions = []
    for entry in entries:
        is_plain = isinstance(entry, Mapping) and entry.keys() == {"text"}
        text = entry["text"] if is_plain else entry
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"its {column} has {entry!r:.100}: write texts that are not empty")
        pattern = None if is_plain else _pattern(text)
        try:
            re.compile(pattern or "")
        except (re.error, RecursionError, OverflowError) as error:
            raise UserError(
                f"its {column} has {text!r:.100}, which is no regular expression ({error}): correct it, or write "
                '{"text": "..."} if it is none'
            ) from error
        expressions.append(Expression(text, pattern))
    return tuple(expressions)


def _pattern(text: str) -> str | None:
    """The regular expression between slashes; None: it is a plain text."""
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == "/" else None
