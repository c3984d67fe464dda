"""`lmcraft pretrain`: next-token training of a Transformer from scratch."""

from typing import TYPE_CHECKING

from lmcraft.config import takes_settings
from lmcraft.energy import open_meter
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.folder.output import claim_run
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.terminal import PrintLine, line_printer
from lmcraft.training.environment import set_up_environment

if TYPE_CHECKING:
    from lmcraft.training.processes import Processes


@takes_settings(PretrainConfig)
def pretrain(config: PretrainConfig) -> ModelFolder:
    """Train, and write a model folder with the weights of the lowest validation loss and a report.

    Processes started by torchrun share the run (docs/distributed-training.md).

    Raises:
        UserError: the configuration cannot run, `out` holds something else than the run to resume or a run that these
            settings do not continue, or another process is writing there.
        InterruptedRunError: a signal stopped the run; resume continues it exactly.
        RunError: the loss is not a number, the disk is full, or another process of the run was lost.
    """
    since = open_meter().read()
    set_up_environment()
    from lmcraft.pretraining.run import run_pretraining
    from lmcraft.reports.card import update_card
    from lmcraft.reports.page import write_report
    from lmcraft.training.account import RunAccount
    from lmcraft.training.processes import join_processes

    with join_processes(config.device, config.tensor_parallel) as processes:
        print_line = line_printer(quiet=not processes.is_main)
        is_resumed = config.resume or config.find_lr or bool(config.coordinate_check)
        claim = claim_run(config.out, resume=is_resumed, inputs=[("dataset", config.data)])
        with processes.in_main(claim):
            if config.coordinate_check:
                return _check_coordinates(config, processes, print_line)
            if config.find_lr:
                return _find_learning_rate(config.resolved(), processes, print_line)
            account = RunAccount("pretrain", since=since)
            with account.closing(ModelFolder(config.out) if config.resume and processes.is_main else None):
                folder = run_pretraining(config, processes, print_line, account)
                print_line(account.finish())
                if processes.is_main:
                    print_line(f"curves and samples: {write_report(folder)}")
                    update_card(folder, print_line)
                return folder


def _find_learning_rate(config: PretrainConfig, processes: "Processes", print_line: PrintLine) -> ModelFolder:
    """Print the learning rates at which the loss falls fastest, and write the page of the range test."""
    from lmcraft.pretraining.run import find_learning_rate
    from lmcraft.reports.page import write_range_test

    folder = ModelFolder(config.out)
    test, rates = find_learning_rate(config, processes, print_line)
    if not processes.is_main:
        return folder
    page = write_range_test(folder, test, rates)
    print(
        f"the loss falls fastest at {test.steepest:.2g} times the learning rates, and rises above {test.lowest:.2g} times:"
    )
    for name, rate in rates.items():
        print(f"  --optimizer.{name.replace('_', '-')} {test.steepest * rate:.3g}")
    print(page)
    return folder


def _check_coordinates(config: PretrainConfig, processes: "Processes", print_line: PrintLine) -> ModelFolder:
    """Print how the change of each kind of output depends on the width, and write the page of the check."""
    from lmcraft.pretraining.coordinate_check import check_coordinates
    from lmcraft.reports.coordinate_check import verdict_rows, write_coordinate_check
    from lmcraft.terminal import column_table, print_result

    if processes.count > 1:
        raise UserError(f"coordinate_check runs in one process, not in {processes.count}: start it without torchrun")
    folder = ModelFolder(config.out)
    check = check_coordinates(config, print_line)
    page = write_coordinate_check(folder, check)
    print_result(
        column_table("", ("outputs", "slope (each seed)", "change"), verdict_rows(check)), check.summary(), str(page)
    )
    return folder
