"""A task: what a model is asked, and how its answers are judged. A TOML file of about ten lines beside a data file."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lmcraft.config import Config, command_config
from lmcraft.data.documents import ReadStats
from lmcraft.data.formats import TABLES, inner_suffix
from lmcraft.data.sources import TextSources, read_table
from lmcraft.errors import UserError
from lmcraft.evaluation.templates import evaluate_expression, render_text
from lmcraft.folder import sha256_of
from lmcraft.hub.data_file import fetch_data_file

Kind = Literal["multiple_choice", "generation", "code", "perplexity"]


@dataclass(frozen=True)
class FewShot(Config):
    """Solved examples that come before each question."""

    count: int = 0
    """Number of examples: the first rows of their data."""
    data: str = ""
    """Their file; empty: that of the task, whose first rows are then not scored."""
    separator: str = "\n\n"
    """Between examples."""


@command_config
@dataclass(frozen=True)
class TaskConfig(Config):
    """The contents of a task's TOML file. Templates are Jinja; an expression is what stands between {{ and }} there."""

    kind: Kind
    """multiple_choice, generation, code or perplexity."""
    data: str
    """File of rows (.jsonl, .json, .csv, .tsv, .parquet; any text file for perplexity), relative to the task's file, or
    pypi:package==version/path."""
    _: KW_ONLY
    description: str = ""
    """One sentence."""
    language: str = "en"
    """Language of the texts, as in en or zh."""
    source: str = ""
    """Where the data come from, and their license."""
    prompt: str = ""
    """Template of the prompt; empty: the answer is scored on its own."""
    choices: tuple[str, ...] = ()
    """multiple_choice: an expression that gives a list, or a template for each choice."""
    answer: str = ""
    """Expression of the right answer. multiple_choice: the text of a choice, its letter (A is the first), or its index (0 is
    the first). generation: a text or a list of texts."""
    delimiter: str = " "
    """Between a prompt and its answer."""
    cluster: str = ""
    """Expression of what several items have in common, such as a passage; such items are not independent."""
    text: str = "text"
    """perplexity: the column of a table that contains the text."""
    extract: str = ""
    """generation: regular expression that finds the answer in the generated text; its last match counts."""
    ignore_case: bool = True
    """generation: compare answers without regard to case."""
    max_new_tokens: int = 256
    """generation, code: maximum length of an answer, in tokens."""
    stop: tuple[str, ...] = ()
    """generation, code: texts that end an answer."""
    program: str = ""
    """code: template of the program that tests an answer, which is the variable `completion`."""
    seconds: float = 10.0
    """code: time limit of a program."""
    chat: bool = False
    """Ask through the model's chat template."""
    few_shot: FewShot = field(default_factory=FewShot)


@dataclass(frozen=True)
class Row:
    """One row of a task's data."""

    number: int
    """Its index among the rows that are scored; 0 is the first."""
    values: Mapping[str, Any]
    origin: str
    """File and line."""

    def text(self, template: str, setting: str) -> str:
        """A template of the task for this row.

        Raises:
            UserError: it cannot be rendered; the message begins with file and line.
        """
        with self.errors():
            return render_text(template, self.values, setting)

    def value(self, expression: str, setting: str) -> Any:
        """An expression of the task for this row; errors as in `text`."""
        with self.errors():
            return evaluate_expression(expression, self.values, setting)

    def with_values(self, **values: Any) -> "Row":
        """The row with more columns."""
        return replace(self, values={**self.values, **values})

    def errors(self) -> "RowErrors":
        """A context in which a UserError gets file and line."""
        return RowErrors(self.origin)


@dataclass(frozen=True)
class RowErrors:
    """Puts file and line before the message of a UserError."""

    origin: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, UserError):
            raise UserError(f"{self.origin}: {error}") from error


@dataclass(frozen=True)
class Task:
    """A task with its data file."""

    name: str
    config: TaskConfig
    folder: Path
    """What relative paths in the configuration start from."""

    @classmethod
    def read(cls, file: Path) -> "Task":
        """Read a task's TOML file.

        Raises:
            UserError: the file cannot be read, or a setting is unknown or does not fit.
        """
        return cls(file.stem, TaskConfig.from_toml(file), file.parent)

    @cached_property
    def data_file(self) -> Path:
        """The data file, downloaded first if needed.

        Raises:
            UserError: there is no such file.
            RunError: the download failed.
        """
        file = self._fetch(self.config.data)
        if not file.is_file():
            raise UserError(f"task '{self.name}': its data file '{file}' does not exist: correct data = ...")
        return file

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the settings and the data, which together decide what is asked and how it is judged."""
        settings = replace(self.config, description="", source="", data=sha256_of(self.data_file))
        if self.config.few_shot.data:
            examples = replace(self.config.few_shot, data=sha256_of(self._fetch(self.config.few_shot.data)))
            settings = replace(settings, few_shot=examples)
        return hashlib.sha256(settings.to_toml().encode()).hexdigest()

    def rows(self) -> list[Row]:
        """The rows to score.

        Raises:
            UserError: the file is empty or damaged, or has no row besides the examples.
        """
        own_examples = 0 if self.config.few_shot.data else self.config.few_shot.count
        read = read_texts if self.config.kind == "perplexity" and not is_table(self.data_file) else read_rows
        rows = read(self.data_file, self.config.data)[own_examples:]
        if not rows:
            raise UserError(f"task '{self.name}': '{self.config.data}' has no rows besides its {own_examples} examples")
        return [replace(row, number=number) for number, row in enumerate(rows)]

    def examples(self) -> list[Row]:
        """The rows of the solved examples.

        Raises:
            UserError: there are fewer than few_shot.count.
        """
        shots = self.config.few_shot
        if not shots.count:
            return []
        data = shots.data or self.config.data
        rows = read_rows(self._fetch(data), data)[: shots.count]
        if len(rows) < shots.count:
            raise UserError(f"task '{self.name}': few_shot.count={shots.count}, but '{data}' has {len(rows)} rows: lower it")
        return rows

    def _fetch(self, data: str) -> Path:
        return fetch_data_file(data) if data.startswith("pypi:") else self.folder / Path(data).expanduser()


def read_rows(file: Path, name: str) -> list[Row]:
    """All rows of a table.

    Args:
        file: the table.
        name: the file in messages.

    Raises:
        UserError: the file is empty, damaged or no table, or a row is not an object.
    """
    rows: list[Row] = []
    for line, values in read_table(file, ReadStats("fail")):
        if not isinstance(values, Mapping):
            raise UserError(f"{name}:{line}: a row must be an object with named columns")
        rows.append(Row(len(rows), values, f"{name}:{line}"))
    if not rows:
        raise UserError(f"'{name}' has no rows: add some, or name another file")
    return rows


def is_table(file: Path) -> bool:
    """Whether the name of a file is that of a table of rows."""
    return inner_suffix(file) in TABLES


def read_texts(file: Path, name: str) -> list[Row]:
    """The text of a file that is no table, as one row.

    Raises:
        UserError: the file is empty, or cannot be decoded.
    """
    documents = TextSources([str(file)], document_chars=sys.maxsize).read_nonempty(ReadStats("fail"))
    return [Row(number, {"text": document.text}, f"{name}:{document.line}") for number, document in enumerate(documents)]
