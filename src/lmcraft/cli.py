"""The command line. A command's module is imported only when the command is chosen, so `--help` is fast."""

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from lmcraft.commands import COMMANDS
from lmcraft.commands.app import build_app
from lmcraft.config import Config, parse, read_toml, table_source, toml_source
from lmcraft.errors import InterruptedRunError, LmcraftError, UserError, explain_os_error
from lmcraft.folder import ModelFolder
from lmcraft.folder.names import CHECKPOINTS, FAMILY_CONFIG, FAMILY_RUNS, RUN, RUN_CONFIG
from lmcraft.setting_values import expand_user
from lmcraft.standard_streams import flush_standard_output, prepare_standard_streams
from lmcraft.terminal import escape_control_characters


def command_name(tokens: Sequence[str]) -> str:
    """The command that the tokens begin with, or ""."""
    return next((name for name in COMMANDS if list(tokens[: len(name.split())]) == name.split()), "")


def parse_command(tokens: Sequence[str]) -> "partial[Any]":
    """The call of a command's function that the tokens describe: command, perhaps a TOML file, flags.

    Raises:
        UserError: a token does not fit, or the TOML file cannot be read.
    """
    app = build_app()
    command = command_name(tokens)
    if command in RESUMED:
        _check_resume_flag(command, tokens)
    remaining = _join_booleans(_name_standard_input(tokens) if command in FILE_READERS else tokens)
    position = len(command.split())
    if command == "search":
        app.config = _search_sources(remaining[position:])
    elif position and len(remaining) > position and _is_settings_file(command, remaining[position]):
        file = Path(remaining.pop(position))
        run = _run_of(file)
        app.config = (toml_source(file) if run is None else toml_source(file, out=str(run)),)
        call = parse(app, remaining)
        if command == "prepare":
            _check_sources(call.args[0], file)
        return call
    elif command in RESUMED and (out := _out_to_resume(remaining)) is not None:
        recorded = RESUMED[command](out)
        if recorded.is_file():  # what the command leaves out is as in the run that it continues
            app.config = (toml_source(recorded, without=("max_steps", "resume", "out")),)
    return parse(app, remaining)


def _is_settings_file(command: str, token: str) -> bool:
    """Whether a command's first argument has its settings; it reads a recipe or an experiment, and writes a new policy."""
    if not token.endswith(".toml") or command in ("guard init", "guard compare"):
        return False
    return command != "prepare" or not {"source", "stage"} & read_toml(expand_user(token)).keys()


def _check_sources(config: Any, file: Path) -> None:
    """Raise UserError if neither a settings file of `prepare` nor the flags beside it name a source: it may be a recipe."""
    if not config.sources and not config.is_export:
        raise UserError(f"'{file}' has no sources: add a table [[source]] with name and paths, which makes it a recipe")


# The commands that can be resumed, and the settings that they recorded in a folder.
RESUMED: dict[str, Callable[[Path], Path]] = {
    "pretrain": lambda out: ModelFolder(out).config_toml,
    "finetune": lambda out: ModelFolder(out).config_toml,
    "scaling": lambda out: out / FAMILY_CONFIG,
}
FILE_READERS = (
    "prepare",
    "tokenizer train",
    "finetune",
    "quantize",
    "guard check",
    "review add",
)  # the commands that take `-` for standard input
BOOLEANS = ("true", "false", "yes", "no")
CHECKPOINT_NAME = re.compile(r"latest|last|auto|best|(step-|checkpoint-)?\d+")  # as users write one after --resume
STANDARD_INPUT = "/dev/stdin"
LONG_WORD = re.compile(r"(\S{150})\S{150,}(\S{100})")  # in an error: of a name, its beginning and its end are shown


def _run_of(file: Path) -> Path | None:
    """The folder of the run or the family that wrote a file, which may have been moved since; None for any other file."""
    folder = file.parent
    if file.name == FAMILY_CONFIG and any((folder / FAMILY_RUNS).glob("depth-*x")):
        return folder
    if folder.parent.name == CHECKPOINTS:
        folder = folder.parent.parent
    return folder.parent if folder.name == RUN and file.name == RUN_CONFIG else None


def _search_sources(tokens: Sequence[str]) -> tuple[Any, ...]:
    """The table [search] of the space file that the tokens name, or of the search that they continue."""
    from lmcraft.hyperparameters.config import SEARCH_TABLE, read_search_table, space_file

    flags = _flags(tokens)
    settings: dict[str, Any] = {name: _is_on(flags, f"--{name}") for name in ("resume", "ask")}
    for name in ("space", "tell", "export_optuna"):
        if (flag := f"--{name.replace('_', '-')}") in flags:
            settings[name] = flags[flag]
    settings |= {"out": expand_user(flags["--out"])} if "--out" in flags else {}
    pairs = pairwise(("", *tokens))
    named = [token for before, token in pairs if token.endswith(".toml") and before not in ("--out", "--space")]
    if tokens and (first := named[0] if named else tokens[0]) and not first.startswith("-"):
        settings["space"] = expand_user(first)
    if (file := space_file(settings)) is None:
        return ()
    resumed = "space" not in settings
    table = read_search_table(file, resumed=resumed) | ({"space": str(file)} if resumed else {})
    return (table_source(table, f"[{SEARCH_TABLE}] of {file}"),)


def _flags(tokens: Sequence[str]) -> dict[str, str]:
    """The value of each flag, or the token after it."""
    return dict(token.partition("=")[::2] if "=" in token else (token, after) for token, after in pairwise((*tokens, "")))


def _is_on(flags: dict[str, str], name: str) -> bool:
    return name in flags and flags[name].lower() not in ("false", "no")


def _out_to_resume(tokens: Sequence[str]) -> Path | None:
    """The value of --out if a command is to be resumed."""
    flags = _flags(tokens)
    return expand_user(flags["--out"]) if "--out" in flags and _is_on(flags, "--resume") else None


def _check_resume_flag(command: str, tokens: Sequence[str]) -> None:
    """Raise UserError if --resume is followed by the checkpoint to resume, as in other programs: --out names the run."""
    flags = _flags(tokens)
    value = flags.get("--resume", "")
    if not value or value.startswith("-") or value.lower() in BOOLEANS:
        return
    out = expand_user(flags["--out"]) if "--out" in flags else None
    run = _run_to_resume(value, out, takes_runs=command == "finetune")
    if run is not None or f"--resume={value}" in tokens:
        raise UserError(
            f"--resume takes no value, but '{value}' follows it: a run continues from its latest checkpoint with "
            f"lmcraft {command} --out {shlex.quote(str(run or out or 'RUN'))} --resume"
        )


def _run_to_resume(value: str, out: Path | None, *, takes_runs: bool) -> Path | None:
    """The run that the token after --resume means; None if it is another argument.

    Args:
        value: the token.
        out: the folder of the run, if it is given.
        takes_runs: whether an argument of the command can be a run, too.
    """
    path = expand_user(value)
    if CHECKPOINT_NAME.fullmatch(value) and not path.exists():
        return out or Path("RUN")
    real = Path(os.path.realpath(path))
    if out is not None and Path(os.path.realpath(out)) in (real, *real.parents):
        return out
    checkpoints = next((parent for parent in (path, *path.parents) if parent.name == CHECKPOINTS), None)
    if not takes_runs and checkpoints is not None:
        return checkpoints.parent.parent
    return path if not takes_runs and ModelFolder(path).checkpoints.is_dir() else None


def _name_standard_input(tokens: Sequence[str]) -> list[str]:
    """Write `-` as the path of standard input, except where it is the value of --out."""
    return [STANDARD_INPUT if token == "-" and before != "--out" else token for before, token in pairwise(("", *tokens))]


def _join_booleans(tokens: Sequence[str]) -> list[str]:
    """Write `--flag false` as `--flag=false`: cyclopts takes the second token of the first form for another argument."""
    joined: list[str] = []
    for token in tokens:
        if token.lower() in BOOLEANS and joined and joined[-1].startswith("--") and "=" not in joined[-1]:
            joined[-1] += f"={token}"
        else:
            joined.append(token)
    return joined


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 2 for bad input, 1 for a run that failed, 128 + n for signal n."""
    prepare_standard_streams()
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # for torch's import: what Apple's GPUs lack, the CPU does
    tokens = list(sys.argv[1:] if argv is None else argv)
    print_config = "--print-config" in tokens
    if print_config:
        tokens.remove("--print-config")
    command = command_name(tokens)
    try:
        call = parse_command(tokens)
        config = next((value for value in (*call.args, *call.keywords.values()) if isinstance(value, Config)), None)
        if print_config and config is not None:
            print(config.resolved().to_toml(), end="")
        else:
            call()
        flush_standard_output()
    except LmcraftError as error:
        return _print_error(command, error)
    except KeyboardInterrupt as interruption:
        return _print_error(command, InterruptedRunError(str(interruption), signal.SIGINT))
    except BrokenPipeError:  # the reader of standard output has closed it
        sys.stderr.close()
        return 141
    except OSError as error:
        return _print_error(command, explain_os_error(error))
    return 0


def _print_error(command: str, error: LmcraftError) -> int:
    if str(error):  # empty in all but one process of a run
        message = LONG_WORD.sub(r"\1...\2", escape_control_characters(str(error)))
        print(f"lmcraft{command and ' ' + command}: {message}", file=sys.stderr)
    return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
