"""Configurations: frozen dataclasses that flags, a TOML file and Python fill in the same way.

A command's configuration derives from `Config`; the docstring under each field is its help text on the command line.
cyclopts does the reading, the conversion and the errors, for flags and files alike.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import cyclopts
import tomli_w

from lmcraft.errors import UserError

C = TypeVar("C", bound="Config")


class Config:
    """What every command's configuration can do."""

    def resolved(self: C) -> C:
        """This configuration with every value that is left to a rule filled in: what would run.

        Raises:
            UserError: a value is impossible; the message names it and the remedy.
        """
        return self

    def to_toml(self) -> str:
        """The TOML file that gives this configuration; a value of None is left out, since TOML has none."""
        return tomli_w.dumps(as_dict(self))

    @classmethod
    def from_toml(cls: type[C], path: str | Path) -> C:
        """Read a configuration from a TOML file.

        Raises:
            UserError: the file cannot be read, a key is unknown (the nearest known one is named), a value does not fit.
        """

        def read(config: C) -> C:
            return config

        read.__annotations__["config"] = cls
        app = cyclopts.App(name="", config=[toml_source(Path(path))])
        app.default(read)
        result: C = parse(app, [])()
        return result


def parse(app: cyclopts.App, tokens: Sequence[str]) -> "partial[Any]":
    """The call that `tokens` ask of `app`, not yet made.

    Raises:
        UserError: a token or a key does not fit.
    """
    try:
        command, bound, _ = app.parse_args(list(tokens), exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        raise UserError(" ".join(str(error).split())) from error
    return partial(command, *bound.args, **bound.kwargs)


def toml_source(path: Path) -> "cyclopts.config.Dict":
    """A TOML file as a source of values for cyclopts; flags win over it.

    Raises:
        UserError: there is no such file, or it is not TOML.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"configuration file '{path}' does not exist: check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"configuration file '{path}' cannot be read as TOML: {error}") from error
    return cyclopts.config.Dict(values, source=str(path), use_commands_as_keys=False)


def as_dict(config: Any) -> dict[str, Any]:
    """A dataclass tree as plain dicts, lists and scalars, by the names of the flags; None is left out."""
    hints = get_type_hints(type(config), include_extras=True)
    found: dict[str, Any] = {}
    for f in fields(config):
        if (value := getattr(config, f.name)) is not None:
            found |= _plain(value) if _is_flat(hints[f.name]) else {f.name: _plain(value)}
    return found


def _is_flat(hint: Any) -> bool:
    """Whether the fields of a part are named without the part: Annotated[Part, Parameter(name="*")]."""
    said = getattr(hint, "__metadata__", ())
    return any(isinstance(some, cyclopts.Parameter) and some.name == ("*",) for some in said)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return as_dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
