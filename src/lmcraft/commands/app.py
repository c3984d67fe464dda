"""The command-line program: its commands in the order of a model's life, and their help."""

from importlib.metadata import version

import cyclopts

from lmcraft.commands import COMMANDS, GROUPS, STAGES, Command
from lmcraft.commands.examples import EXAMPLES, FIRST_STEPS

HELP = f"""Train, fine-tune, run and serve small language models.

```sh
{FIRST_STEPS}```

`lmcraft COMMAND --help` begins with examples of a command. A MODEL is a folder, a GGUF file, `hf:owner/name` or a short
name. Settings come from flags, a TOML file or both (`lmcraft pretrain run.toml --depth 6`; flags win), and `--print-config`
prints all of them instead of running the command.

Read on in README.md, docs/learn (how a language model works), docs/commands (a page for each command) and recipes (models
for a purpose, end to end).
"""


def build_app() -> cyclopts.App:
    """The command-line program. Commands are imported when they are called."""
    parameter = cyclopts.Parameter(show_default=_format_default, negative_iterable=(), negative_none=())
    app = cyclopts.App(
        name="lmcraft",
        help=HELP,
        version=lambda: version("lmcraft"),
        help_format="markdown",
        default_parameter=parameter,
        group_commands=cyclopts.Group("Options", sort_key=len(STAGES)),
    )
    for number, (title, words) in enumerate(STAGES.items()):
        stage = cyclopts.Group(title, sort_key=number)
        for position, word in enumerate(words):
            if word in GROUPS:
                _add_group(app, word, group=stage, sort_key=position)
            else:
                _add_command(app, word, COMMANDS[word], group=stage, sort_key=position)
    return app


def _add_group(app: cyclopts.App, name: str, *, group: cyclopts.Group, sort_key: int) -> None:
    parent = cyclopts.App(
        name=name, help=GROUPS[name], group=group, sort_key=sort_key, group_commands=cyclopts.Group("Commands")
    )
    app.command(parent)
    commands = (item for item in COMMANDS.items() if item[0].split()[0] == name)
    for position, (command_name, command) in enumerate(commands):
        _add_command(parent, command_name, command, group="Commands", sort_key=position)


def _add_command(parent: cyclopts.App, name: str, command: Command, *, group: cyclopts.Group | str, sort_key: int) -> None:
    examples = f"{command.help}\n\n```sh\n{EXAMPLES[name]}```\n"
    path = f"lmcraft.commands.{command.module}:{command.function}"
    parent.command(path, name=name.split()[-1], help=examples, group=group, sort_key=sort_key)


def _format_default(value: object) -> str | None:
    """A default as the help shows it; a setting that is empty by default shows none."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or None
    return None if value in (None, "", {}) else str(value)
