"""`lmcraft search`: choose hyperparameters."""

from pathlib import Path
from typing import TYPE_CHECKING

from lmcraft.commands import COMMANDS
from lmcraft.config import takes_settings
from lmcraft.extras import import_optional
from lmcraft.hyperparameters.config import SearchConfig
from lmcraft.hyperparameters.energy import record_waste
from lmcraft.hyperparameters.ledger import describe_trial
from lmcraft.hyperparameters.stages import StageCommand
from lmcraft.hyperparameters.trial import AskedTrial
from lmcraft.reports.search_record import SearchRecord
from lmcraft.terminal import print_result

if TYPE_CHECKING:
    from lmcraft.hyperparameters.search import Search

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
def open_search(config: SearchConfig) -> "Search":
    """Begin a search, or open the one that the settings continue, for a program that trains its trials.

    Raises:
        UserError: the space or a setting is impossible, the folder holds something else, or no search to continue.
    """
    for package in ("optuna", "scipy", "cmaes", "sqlalchemy"):
        import_optional(package, "search", "a search")
    from lmcraft.hyperparameters.search import Search

    return Search.open(config, stage_commands())


@takes_settings(SearchConfig)
def search(config: SearchConfig = SearchConfig()) -> SearchRecord | AskedTrial:
    """Choose hyperparameters; or, with `ask` or `tell`, take part in a search whose trials another program trains.

    Returns:
        The search and all its trials; with `ask`, the trial to train.

    Raises:
        UserError: the space or a setting is impossible, the folder holds something else, or the first trials all failed.
        InterruptedRunError: a signal stopped the search; resume continues it.
        RunError: all trials failed, or the workers cannot go on, such as on a full disk.
    """
    from lmcraft.reports.search import summarize_search

    opened = open_search(config)
    if config.ask:
        next_trial = opened.ask(config.set, config.change)
        print(next_trial.to_json())
        return next_trial
    if config.tell is not None:
        trial = opened.tell(config.tell, config.values, config.failed)
        record = _write_results(opened)
        print_result(describe_trial(trial, record.trials, record.signs))
        return record
    if config.export_optuna is not None:
        return _export(opened, config.export_optuna)
    reason = opened.run()
    record = _write_results(opened)
    print_result(*summarize_search(record))
    if reason:
        print_result(f"The search is over: {reason}.")
    return record


def _write_results(opened: "Search") -> SearchRecord:
    """Write the ledger, the winner, the verdict and the page."""
    from lmcraft.folder import write_json
    from lmcraft.hyperparameters.best import write_best
    from lmcraft.reports.search import write_search

    plan, record = opened.plan, _collect(opened)
    opened.write_ledger(record.trials)
    if record.winner is not None:
        write_best(plan.pipeline, record.winner)
    if record.verdict is not None:
        write_json(plan.config.out / "verdict.json", record.verdict.to_json())
    write_search(plan.config.out, record)
    return record


def _export(opened: "Search", path: Path) -> SearchRecord:
    """Write a study of Optuna."""
    from lmcraft.hyperparameters.optuna_study import export_optuna

    record = _collect(opened)
    export_optuna(record.trials, record.space, record.signs, path)
    print(path)
    return record


def _collect(opened: "Search") -> SearchRecord:
    """The search as it is now."""
    plan, trials = opened.plan, opened.store.trials()
    return SearchRecord(plan.pipeline.space, plan.signs, trials, opened.verdict(), record_waste(plan.config.out, trials))
