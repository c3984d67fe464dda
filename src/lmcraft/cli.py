"""The command line. A command's module is imported only when the command is chosen, so `--help` answers at once."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import cyclopts

from lmcraft.commands import COMMANDS, GROUPS
from lmcraft.config import Config, parse, toml_source
from lmcraft.errors import LmcraftError

HELP = """Train, fine-tune, run and serve small language models.

Start with `lmcraft quickstart`. Settings come from flags, a TOML file or both (`lmcraft pretrain run.toml --depth 6`; flags
win). `--print-config` prints the complete settings instead of running the command.
"""


def build_app() -> cyclopts.App:
    """The command-line program, its commands not imported yet."""
    app = cyclopts.App(name="lmcraft", help=HELP, version=lambda: version("lmcraft"), help_format="markdown")
    for group, help_text in GROUPS.items():
        app.command(cyclopts.App(name=group, help=help_text))
    for name, command in COMMANDS.items():
        *group_name, word = name.split()
        parent = app[group_name[0]] if group_name else app
        parent.command(f"lmcraft.commands.{command.module}:{command.function}", name=word, help=command.help)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 2 for bad input, 1 for a run that failed, 128 + n for signal n."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    print_config = "--print-config" in tokens
    if print_config:
        tokens.remove("--print-config")
    command = next((name for name in COMMANDS if tokens[: len(name.split())] == name.split()), "")
    try:
        app = build_app()
        words = len(command.split())
        if command and len(tokens) > words and tokens[words].endswith(".toml"):
            app.config = (toml_source(Path(tokens.pop(words))),)
        call = parse(app, tokens)
        config = next((value for value in (*call.args, *call.keywords.values()) if isinstance(value, Config)), None)
        if print_config and config is not None:
            print(config.resolved().to_toml(), end="")
        else:
            call()
    except LmcraftError as error:
        if str(error):  # empty in all processes of a run but one
            print(f"lmcraft{command and ' ' + command}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of standard output has closed it
        sys.stderr.close()
        return 141
    return 0


if __name__ == "__main__":
    sys.exit(main())
