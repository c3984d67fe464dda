"""The table of commands. Nothing of a command is imported until it is chosen, so `--help` answers at once."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import cyclopts

from lmcraft.config import Config, parse, toml_source
from lmcraft.errors import LmcraftError

# command: (the function, what it does). A name of two words is a command of a group.
COMMANDS: dict[str, tuple[str, str]] = {
    "quickstart": ("lmcraft.commands.quickstart:quickstart", "All of a model's life on this machine, in minutes."),
    "prepare": ("lmcraft.commands.prepare:prepare", "Turn text into token shards that can be trained on."),
    "tokenizer train": ("lmcraft.commands.tokenizer:train_tokenizer", "Train a tokenizer on text."),
    "tokenizer inspect": ("lmcraft.commands.tokenizer:inspect_tokenizer", "Show what a tokenizer makes of a text."),
    "pretrain": ("lmcraft.commands.pretrain:pretrain", "Train a Transformer to predict the next token."),
    "finetune": ("lmcraft.commands.finetune:finetune", "Tune a model on examples of one task, and show what changed."),
    "classify": ("lmcraft.commands.classify:classify", "Say which label a text has."),
    "plan": ("lmcraft.commands.plan:plan", "Tell what a training run would take: memory, time, energy."),
    "scaling": ("lmcraft.commands.scaling:scaling", "Train small models, predict the loss of the next size, and check it."),
    "generate": ("lmcraft.commands.generate:generate", "Continue a text."),
    "chat": ("lmcraft.commands.chat:chat", "Talk with a model in the terminal."),
    "serve": ("lmcraft.commands.serve:serve", "Serve models: OpenAI's endpoints, and a chat page."),
    "pull": ("lmcraft.commands.pull:pull", "Fetch a model into a folder."),
    "inspect": ("lmcraft.commands.inspect:inspect", "Show what a model is made of, and where it comes from."),
    "export": ("lmcraft.commands.export:export", "Write a model in another type or format, and check the result."),
    "quantize": ("lmcraft.commands.quantize:quantize", "Write a model with 8 or 4 bits a weight, and tell the price."),
    "report": ("lmcraft.commands.report:report", "Write a run's page again: curves, samples, configuration."),
}
GROUPS = {"tokenizer": "Train and inspect tokenizers."}

HELP = """The whole craft of a language model in one place.

Start with `lmcraft quickstart`. Every command also reads its settings from a TOML file
(`lmcraft pretrain run.toml --depth 6`; flags win), and `--print-config` shows what would run.
"""


def build_app() -> cyclopts.App:
    """The command-line program, with every command still a string."""
    app = cyclopts.App(name="lmcraft", help=HELP, version=lambda: version("lmcraft"), help_format="markdown")
    for group, help_text in GROUPS.items():
        app.command(cyclopts.App(name=group, help=help_text))
    for name, (target, help_text) in COMMANDS.items():
        *group_name, word = name.split()
        parent = app[group_name[0]] if group_name else app
        parent.command(target, name=word, help=help_text)
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
        if str(error):  # of the processes of a run, one speaks
            print(f"lmcraft{command and ' ' + command}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone; there is no one left to tell
        sys.stderr.close()
        return 141
    return 0


if __name__ == "__main__":
    sys.exit(main())
