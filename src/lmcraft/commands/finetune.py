"""`lmcraft finetune`: train an existing model on examples of a task."""

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from lmcraft.config import takes_settings
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.folder import ModelFolder, write_json_lines
from lmcraft.folder.output import Input, claim_run
from lmcraft.lineage.record import write_lineage
from lmcraft.terminal import PrintLine, line_printer

if TYPE_CHECKING:
    from lmcraft.finetuning.evaluation import Metrics
    from lmcraft.finetuning.run import FinetuneRun
    from lmcraft.finetuning.splits import Splits
    from lmcraft.model_source import ModelSource
    from lmcraft.training.account import RunAccount
    from lmcraft.training.loop import Trainer
    from lmcraft.training.processes import Processes


@takes_settings(FinetuneConfig)
def finetune(config: FinetuneConfig) -> ModelFolder:
    """Fine-tune a model; the result has the weights with the lowest validation loss, and a report of what changed.

    Raises:
        UserError: the model or the data cannot be used with these settings, or `out` holds a run that is not resumed.
        InterruptedRunError: a signal stopped the run; it can be resumed.
        RunError: the loss is not a number, the disk is full, or another process of the run failed.
    """
    from lmcraft.training.environment import set_up_environment

    set_up_environment()
    from lmcraft.energy import open_meter

    since = open_meter().read()
    from lmcraft.finetuning.splits import read_splits
    from lmcraft.model_source import open_model
    from lmcraft.training.account import RunAccount
    from lmcraft.training.processes import join_processes

    splits = read_splits(config.resolved())  # refuses bad settings and data before the model is opened
    inputs: list[Input] = [("model", config.model), *(("dataset", path) for path in config.data)]
    with join_processes(config.device, 1) as processes:
        claim = nullcontext() if config.show_batch else claim_run(config.out, resume=config.resume, inputs=inputs)
        with processes.in_main(claim), open_model(config.model) as source:
            account = RunAccount("finetune", since=since)
            with account.closing(ModelFolder(config.out) if config.resume and processes.is_main else None):
                return _finetune(config, source, splits, processes, account)


def _finetune(
    config: FinetuneConfig, source: "ModelSource", splits: "Splits | None", processes: "Processes", account: "RunAccount"
) -> ModelFolder:
    from lmcraft.finetuning.data_checks import format_batch
    from lmcraft.finetuning.evaluation import reserve_for_evaluation
    from lmcraft.finetuning.run import open_run
    from lmcraft.machine import choose_machine, hardware
    from lmcraft.training.checkpoint import step_to_resume
    from lmcraft.training.continuation import (
        check_contents,
        check_length,
        check_tasks,
        continue_config,
        planned_intervals,
        record_start,
    )

    folder = ModelFolder(config.out)
    step = None if config.show_batch else step_to_resume(folder, resume=config.resume)
    contents = {"model": source.hash_contents()}
    if step is not None:
        check_contents(folder, step, config, contents)
    config = config.resolved() if step is None else continue_config(config, folder, step, "finetune")
    print_line = line_printer(quiet=not processes.is_main)
    run = open_run(config, source, splits, print_line)
    if config.show_batch:
        targets_are_tokens = not run.objective.needs_head
        describe = run.objective.describe_document
        batch = run.data.first_batch()
        print(format_batch(batch, run.tokenizer, targets_are_tokens=targets_are_tokens, describe=describe))
        return folder
    account.open(folder, step, config, processes)
    planned = None if step is None else planned_intervals(folder, config)
    run = replace(run, account=account, planned=planned)
    contents |= run.hash_contents()
    if step is not None:
        check_contents(folder, step, config, contents)
    tasks = run.tasks.hashes() if run.tasks else {}
    if step is not None:
        check_tasks(folder, config, tasks)
    machine = processes.agree(choose_machine(config.device, config.precision))
    print_line(f"computing in {machine.description}")
    run = run.autotuned(machine, processes)
    check_length(run.config, step, folder)
    run = run.with_privacy(folder, step).with_reference(machine, folder)
    trainer = run.build_trainer(machine, folder, step, processes)
    before = reserve_for_evaluation(run, trainer, folder, step)
    if run.config.max_steps > (step or 0):
        account.check_left(run.config, processes.agree(account.budget.left()))
    if sentence := record_start(run.config, folder, step, processes, contents, tasks, run.planned):
        print_line(sentence)
    if run.private:
        print_line(run.private.start(folder, step))
    if run.data.canaries and step is None and processes.is_main:
        run.data.canaries.write(folder.canaries)
    facts = {"machine": hardware(machine.device, processes.count), "parameters": trainer.model.num_parameters()}
    account.start(trainer.progress, run.config.max_steps, **facts)
    return _train(run, trainer, before, print_line)


def _train(run: "FinetuneRun", trainer: "Trainer", before: "Metrics", print_line: PrintLine) -> ModelFolder:
    """Train, evaluate, and write what a model folder has beside its weights."""
    from lmcraft.finetuning.evaluation import evaluate_after
    from lmcraft.finetuning.origins import data_origins, parent_origins
    from lmcraft.reports.card import update_card
    from lmcraft.reports.page import write_report

    processes, folder, config, source = trainer.processes, trainer.folder, run.config, run.source
    if run.data.skipped and processes.is_main:
        write_json_lines(folder.skipped, run.data.skipped)
        print_line(f"the {len(run.data.skipped):,} rows that were left out are listed in {folder.skipped}")
    parents, data = (parent_origins(source, config), data_origins(config)) if processes.is_main else ([], [])
    progress = trainer.run()
    if processes.is_main:
        if run.data.labels.names:
            run.data.labels.save(folder.path)
            if not run.data.labels.is_portable(trainer.model.config):
                print_line(f"only lmcraft opens {folder.path}: transformers and PEFT have no such head, and refuse it")
        for line in evaluate_after(run, trainer, before):
            print_line(line)
        write_lineage(folder, "finetune", parents=parents, data=data, license=source.license)
        print_line(run.account.finish())
        write_report(folder)
        update_card(folder, print_line)
    print_line(f"best validation loss {progress.best_loss:.4f} at step {progress.best_step}; saved to {folder.path}")
    print_line(f"report: {folder.report}")
    return folder
