"""Configurations: frozen dataclasses, filled in the same way from flags, a TOML file or Python.

A command's configuration derives from `Config` and is decorated with `command_config`; the docstring under each field is its
help text on the command line. cyclopts parses, converts and reports errors, for flags and files alike.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import Field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import cyclopts
import tomli_w

from lmcraft.errors import UserError

C = TypeVar("C", bound="Config")


def command_config(cls: type[C]) -> type[C]:
    """Class decorator above `@dataclass` for the configuration of a command.

    Flags have the names of the fields, without a prefix, and positional fields (those before `_: KW_ONLY`) come first. A
    dataclass puts inherited fields before its own, and cyclopts accepts no positional argument after a field that needs a
    flag.
    """
    all_fields: dict[str, Field[Any]] = cls.__dict__["__dataclass_fields__"]
    ordered = sorted(all_fields.items(), key=lambda item: item[1].kw_only is True)
    all_fields.clear()
    all_fields.update(ordered)
    return cyclopts.Parameter(name="*")(cls)


def automatic(rule: str) -> cyclopts.Parameter:
    """For the annotation of a field whose default of 0 stands for a rule: the help shows `[default: RULE]` instead of 0."""
    return cyclopts.Parameter(show_default=lambda value: value or rule)


BY_DEPTH = automatic("set by --depth")


class Config:
    """Base class of the commands' configurations."""

    def resolved(self: C) -> C:
        """A copy with every automatic value filled in, ready to run.

        Raises:
            UserError: a value is impossible; the message names it and the remedy.
        """
        return self

    def to_toml(self) -> str:
        """This configuration as TOML. Fields that are None are left out, because TOML has no null."""
        return tomli_w.dumps(as_dict(self))

    @classmethod
    def from_toml(cls: type[C], path: str | Path) -> C:
        """Read a configuration from a TOML file.

        Raises:
            UserError: the file cannot be read, a key is unknown (the nearest one is named), or a value does not fit.
        """

        def read(config: C) -> C:
            return config

        read.__annotations__["config"] = cls
        app = cyclopts.App(name="", config=[toml_source(Path(path))])
        app.default(read)
        result: C = parse(app, [])()
        return result


def parse(app: cyclopts.App, tokens: Sequence[str]) -> "partial[Any]":
    """The command that `tokens` name and its arguments, bound but not called.

    Raises:
        UserError: a token or a key does not fit.
    """
    try:
        command, bound, _ = app.parse_args(list(tokens), exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        raise UserError(" ".join(str(error).split())) from error
    return partial(command, *bound.args, **bound.kwargs)


def toml_source(path: Path) -> "cyclopts.config.Dict":
    """A TOML file as a source of values for cyclopts; flags take precedence.

    Raises:
        UserError: the file does not exist, or it is not TOML.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"configuration file '{path}' does not exist; check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"configuration file '{path}' cannot be read as TOML: {error}") from error
    return cyclopts.config.Dict(values, source=str(path), use_commands_as_keys=False)


def as_dict(config: Any) -> dict[str, Any]:
    """A dataclass tree as plain dicts, lists and scalars, under the names of the flags. None is left out."""
    hints = get_type_hints(type(config), include_extras=True)
    values: dict[str, Any] = {}
    for f in fields(config):
        if (value := getattr(config, f.name)) is not None:
            values |= _plain(value) if _is_flat(hints[f.name]) else {f.name: _plain(value)}
    return values


def _is_flat(hint: Any) -> bool:
    """Whether the flags of a nested dataclass omit its name: Annotated[Part, Parameter(name="*")]."""
    metadata = getattr(hint, "__metadata__", ())
    return any(isinstance(item, cyclopts.Parameter) and item.name == ("*",) for item in metadata)


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
