"""Configurations: frozen dataclasses, filled in the same way from flags, a TOML file or Python.

A command's configuration derives from `Config` and is decorated with `command_config`; the docstring under each field is its
help text on the command line. cyclopts parses, converts and reports errors, for flags and files alike.
"""

import os
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from functools import partial, wraps
from inspect import Parameter, signature
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, get_type_hints, overload

import cyclopts
import tomli_w

from lmcraft.errors import UserError
from lmcraft.quantities import Quantity
from lmcraft.setting_values import converted_fields, field_types, is_group
from lmcraft.standard_streams import check_utf8
from lmcraft.text_file import read_text

C = TypeVar("C", bound="Config")
Settings = ParamSpec("Settings")
ConfigT = TypeVar("ConfigT", contravariant=True)
ResultT = TypeVar("ResultT", covariant=True)


RENAMED = {"max_time": "time_budget", "max_energy": "energy_budget", "minutes": "time_budget"}
"""Earlier names of settings and their present ones; files of earlier runs have `max_time`, in minutes."""


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
    cls.__repr__ = Config.__repr__  # type: ignore[method-assign]  # in place of the one that `@dataclass` wrote
    return cyclopts.Parameter(name="*")(cls)


def automatic(rule: str) -> cyclopts.Parameter:
    """For the annotation of a field whose default of 0 stands for a rule: the help shows `[default: RULE]` instead of 0."""
    return cyclopts.Parameter(show_default=lambda value: value or rule)


def quantity(rule: str) -> cyclopts.Parameter:
    """For the annotation of a field with a `Quantity`, whose default of 0 stands for a rule; `Config` reads the text."""
    return cyclopts.Parameter(show_default=lambda value: value or rule, converter=lambda _, tokens: tokens[0].value)


BY_DEPTH, OFF = automatic("set by --depth"), automatic("off")

SECTIONS = (
    "Data",
    "Recipe",
    "Length",
    "Method",
    "Objective",
    "Optimizer",
    "Schedule",
    "Answers from documents",
    "Privacy",
    "Evaluation and output",
    "Access",
    "Privacy",
    "Machine",
    "Model",
    "Initialization",
    "Advanced",
)
"""The sections of the help, in this order, after the settings that most people need."""


def section(title: str, **parameter: Any) -> cyclopts.Parameter:
    """For the annotation of a field that the help shows in one of the `SECTIONS`."""
    return cyclopts.Parameter(group=cyclopts.Group(title, sort_key=SECTIONS.index(title)), **parameter)


SEVERAL_VALUES = cyclopts.Parameter(consume_multiple=True, negative="")
DATA, RECIPE, LENGTH, OUTPUT, MACHINE, ADVANCED = map(
    section, ("Data", "Recipe", "Length", "Evaluation and output", "Machine", "Advanced")
)


class Config:
    """Base class of the commands' configurations.

    Python callers may write a path as a string, a tuple as a list, a tuple of one text or path without the tuple, and a
    group of settings as a dict.

    Raises:
        UserError: a value does not have the type of its field; the message names both.
    """

    def __post_init__(self) -> None:
        for name, value in converted_fields(self).items():
            object.__setattr__(self, name, value)
        out = getattr(self, "out", None)
        if out == Path("-"):
            raise UserError("out='-' is standard output, to which folders cannot be written: give a path")
        if isinstance(out, Path) and ".." in out.parts:  # what is written and what is checked must be the same folder
            object.__setattr__(self, "out", Path(os.path.realpath(out)))
        if isinstance(out, Path):
            check_utf8(os.path.realpath(out), f"the full path of out='{out}'")  # libraries that write there need it
        seed = getattr(self, "seed", None)
        if isinstance(seed, int) and not 0 <= seed < 2**63:  # what every generator of random numbers takes
            raise UserError(f"seed={seed} is out of range: use a whole number from 0 to 2**63 - 1")

    def __repr__(self) -> str:
        return format_changes(self)

    def resolved(self: C) -> C:
        """A copy with every automatic value filled in, ready to run.

        Raises:
            UserError: a value is impossible; the message names it and the remedy.
        """
        return self

    @classmethod
    def from_settings(cls: type[C], *values: Any, **settings: Any) -> C:
        """The configuration for a call from Python with these settings."""
        return cls(*values, **settings)

    def to_toml(self) -> str:
        """This configuration as TOML. Fields that are None are left out, because TOML has no null."""
        return tomli_w.dumps(as_dict(self))

    @classmethod
    def from_toml(cls: type[C], path: str | Path) -> C:
        """Read a configuration from a TOML file.

        Raises:
            UserError: the file cannot be read, a key is unknown (the nearest one is named), or a value does not fit.
        """
        return cls.from_table(read_toml(path := Path(path)), str(path))

    @classmethod
    def from_table(cls: type[C], table: Mapping[str, Any], source: str) -> C:
        """Check and convert settings as a TOML file has them.

        Args:
            table: the settings, groups of settings as tables.
            source: where they come from, for errors.

        Raises:
            UserError: a key is unknown (the nearest one is named), or a value does not fit.
        """

        def read(config: C) -> C:
            return config

        read.__annotations__["config"] = cls
        if all(parameter.default is not Parameter.empty for parameter in signature(cls).parameters.values()):
            read.__defaults__ = (cls(),)  # as cyclopts wants it where no setting is required
        app = cyclopts.App(name="", config=[table_source(_with_present_names(table), source)])
        app.default(read)
        result: C = parse(app, [])()
        return result


class Command(Protocol[ConfigT, Settings, ResultT]):
    """A command's function in Python: `prepare(PrepareConfig("my.txt", out="d"))` or `prepare("my.txt", out="d")`."""

    @overload
    def __call__(self, config: ConfigT) -> ResultT: ...
    @overload
    def __call__(self, *values: Settings.args, **settings: Settings.kwargs) -> ResultT: ...


def takes_settings(
    config_class: Callable[Settings, ConfigT],
) -> Callable[[Callable[[ConfigT], ResultT]], Command[ConfigT, Settings, ResultT]]:
    """Decorator of a function that takes a configuration: Python callers may give the settings instead.

    Args:
        config_class: the class of the configuration.

    Returns:
        The decorator. The function raises UserError if a setting is missing, unknown or of the wrong type.
    """

    def decorate(function: Callable[[ConfigT], ResultT]) -> Command[ConfigT, Settings, ResultT]:
        @wraps(function)
        def call(*values: Any, **settings: Any) -> ResultT:
            if set(settings) == {"config"} and not values:
                values, settings = (settings["config"],), {}
            return function(_build_config(function.__name__, config_class, values, settings))

        return call

    return decorate


def _build_config(function: str, cls: Any, values: tuple[Any, ...], settings: Mapping[str, Any]) -> Any:
    """The configuration for a call of a command's function.

    Raises:
        UserError: it is another command's, or a setting is missing or unknown.
    """
    configs = [value for value in values if isinstance(value, Config)]
    if configs and (len(values) > 1 or settings or not isinstance(configs[0], cls)):
        others = type(configs[0]).__name__ if len(values) == 1 and not settings else "both"
        raise UserError(f"{function}() takes lmcraft.{cls.__name__} or its settings, not {others}")
    if configs:
        return configs[0]
    parameters = signature(cls).parameters
    unnamed = [name for name, parameter in parameters.items() if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD]
    if unknown := next((name for name in settings if name not in parameters), None):
        raise UserError(f"{function}() has no setting {unknown!r}: {_locate_setting(cls, unknown)}")
    if len(values) > len(unnamed):
        names = ", ".join(unnamed) or "no value"
        raise UserError(f"{function}() takes {names} without a name, but {len(values)} values are given: name the others")
    if repeated := settings.keys() & unnamed[: len(values)]:
        raise UserError(f"{function}() has two values for {min(repeated)}: give one")
    required = [name for name, parameter in parameters.items() if parameter.default is Parameter.empty]
    if missing := [name for name in required if name not in settings and name not in unnamed[: len(values)]]:
        raise UserError(f"{function}() needs {' and '.join(missing)}: give {', '.join(f'{name}=...' for name in missing)}")
    return cls.from_settings(*values, **settings)


def _locate_setting(cls: Any, name: str) -> str:
    """What to do about a setting that does not exist, for an error."""
    for field, hint in field_types(cls).items():
        if is_group(hint) and name in field_types(hint):
            return f"write {field}={{{name!r}: ...}}"
    near = [RENAMED[name]] if name in RENAMED else get_close_matches(name, field_types(cls), n=1)
    return f"is it {near[0]!r}?" if near else f"help(lmcraft.{cls.__name__}) lists its settings"


def format_changes(config: Any) -> str:
    """A dataclass with the fields that differ from their defaults."""
    changes = []
    for f in fields(config):
        value = getattr(config, f.name)
        if f.repr and value != (f.default if f.default_factory is MISSING else f.default_factory()):
            changes.append(f"{f.name}={format_changes(value) if is_dataclass(value) else repr(_plain(value))}")
    return f"{type(config).__name__}({', '.join(changes)})"


def parse(app: cyclopts.App, tokens: Sequence[str]) -> "partial[Any]":
    """The command that `tokens` name and its arguments, bound but not called.

    Raises:
        UserError: a token or a key does not fit.
    """
    try:
        command, bound, _ = app.parse_args(list(tokens), exit_on_error=False, print_error=False)
    except cyclopts.UnusedCliTokensError as error:
        unused = error.unused_tokens or [""]
        flag = next((before for before, token in pairwise(tokens) if token == unused[0]), "")
        if flag.startswith("--") and "=" not in flag:  # it would have taken a value
            raise UserError(f"{flag} takes no value, but {unused[0]!r} follows it: leave that out") from error
        names = " ".join(map(repr, unused))
        raise UserError(f"unused arguments {names}: put a text that has spaces in quotes, or remove them") from error
    except cyclopts.UnknownOptionError as error:
        raise UserError(_unknown_option(error)) from error
    except cyclopts.CoercionError as error:
        if error.target_type is not bool or error.token is None:
            raise UserError(" ".join(str(error).split())) from error
        raise UserError(f"{error.token.keyword or error.token.source}={error.token.value!r} is not true or false") from error
    except cyclopts.CycloptsError as error:
        raise UserError(" ".join(str(error).split())) from error
    return partial(command, *bound.args, **bound.kwargs)


def _unknown_option(error: cyclopts.UnknownOptionError) -> str:
    """An option that does not exist, and the one that was meant: what it begins, as in `--temp`, or the nearest name."""
    option = (error.token.keyword or error.token.value).partition("=")[0]
    if option == "-":
        return "'-' (standard input or output) cannot be used here: give a path, or leave it out"
    names = [name for argument in error.argument_collection for name in argument.names if argument.parse]
    origin = ""
    if error.token.source != "cli":  # a key of a file
        option, origin = option.strip("[]").replace("][", "."), f" in {error.token.source}"
        names = [name.removeprefix("--").replace("-", "_") for name in names]
    present = RENAMED.get(option.removeprefix("--").replace("-", "_"), "")
    if renamed := next((name for name in names if name.removeprefix("--").replace("-", "_") == present), ""):
        return f"{option}{origin} is now {renamed}, and takes a unit: such as 10m or 0.2kWh"
    near = [name for name in names if name.startswith(option)] or get_close_matches(option, names, n=1)
    return f"there is no option {option}{origin}" + (f": is it {near[0]}?" if near else ": see --help")


def toml_source(path: Path, *, without: Collection[str] = (), **replaced: Any) -> "cyclopts.config.Dict":
    """A TOML file as a source of values for cyclopts; flags take precedence.

    Args:
        path: the file.
        without: keys to leave out.
        replaced: values that replace those of the file, where it has them.

    Raises:
        UserError: the file does not exist, or it is not TOML.
    """
    table = _with_present_names(read_toml(path))
    values = {key: replaced.get(key, value) for key, value in table.items() if key not in without}
    return table_source(values, str(path))


def _with_present_names(table: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a file, which an earlier version may have written, by their present names."""
    return {"time_budget" if key == "max_time" else key: value for key, value in table.items()}


def table_source(table: Mapping[str, Any], source: str) -> "cyclopts.config.Dict":
    """A table as a source of values for cyclopts; `source` is where it comes from, for errors."""
    return cyclopts.config.Dict(dict(table), source=source, use_commands_as_keys=False)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables and values of a TOML file.

    Raises:
        UserError: the file does not exist, or it is not TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except FileNotFoundError as error:
        raise UserError(f"configuration file '{path}' does not exist; check the path") from error
    except RecursionError as error:
        raise UserError(f"configuration file '{path}' has values that are nested too deeply: flatten them") from error
    except UnicodeDecodeError as error:
        raise UserError(f"configuration file '{path}' is not in UTF-8 ({error}): save it as UTF-8") from error
    except (tomllib.TOMLDecodeError, OSError) as error:
        raise UserError(f"configuration file '{path}' cannot be read as TOML: {error}") from error


def as_dict(config: Any) -> dict[str, Any]:
    """A dataclass tree as plain dicts, lists and scalars, under the names of the flags. None is left out."""
    hints = get_type_hints(type(config), include_extras=True)
    values: dict[str, Any] = {}
    for f in fields(config):
        if (value := getattr(config, f.name)) is not None:
            values |= _plain(value) if _is_flat(hints[f.name]) else {f.name.removesuffix("_"): _plain(value)}
    return values


class Setting(NamedTuple):
    """A setting of a command."""

    hint: Any
    """Its type."""
    default: Any
    """`MISSING` of dataclasses, if it has none."""


def settings_of(cls: Any) -> dict[str, Setting]:
    """The settings of a configuration, those of its groups included, by their names in a file, as `optimizer.beta1`."""
    hints = get_type_hints(cls, include_extras=True)
    settings = {}
    for f in fields(cls):
        default = f.default if f.default_factory is MISSING else f.default_factory()
        hint = field_types(cls)[f.name]
        if not is_group(hint):
            settings[f.name] = Setting(hint, default)
            continue
        prefix = "" if _is_flat(hints[f.name]) else f"{f.name}."
        values = {} if default is MISSING else as_dict(default)
        for name, setting in settings_of(hint).items():
            settings[prefix + name] = setting._replace(default=values.get(name, setting.default))
    return settings


def _is_flat(hint: Any) -> bool:
    """Whether the flags of a nested dataclass omit its name: Annotated[Part, Parameter(name="*")]."""
    metadata = getattr(hint, "__metadata__", ())
    return any(isinstance(item, cyclopts.Parameter) and item.name == ("*",) for item in metadata)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return as_dict(value)
    if isinstance(value, Path | Quantity):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
