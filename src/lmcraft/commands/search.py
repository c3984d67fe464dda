"""`lmcraft search`: choose hyperparameters."""

from lmcraft.commands import COMMANDS
from lmcraft.config import takes_settings
from lmcraft.hyperparameters.config import SearchConfig
from lmcraft.hyperparameters.stages import StageCommand

COMMAND_NAMES = {
    name.partition(" ")[0]: name
    for name in ("prepare", "tokenizer train", "pretrain", "finetune", "quantize", "export", "evaluate")
}
"""The commands that a trial can run: the table of a space file, and the name on the command line."""


def stage_commands() -> dict[str, StageCommand]:
    """The commands that a trial can run, by the names of their tables."""
    return {
        table: StageCommand(f"lmcraft.commands.{command.module}", command.function, command.config, name)
        for table, name in COMMAND_NAMES.items()
        for command in (COMMANDS[name],)
    }


@takes_settings(SearchConfig)
def search(config: SearchConfig = SearchConfig()) -> None:
    """Search."""
