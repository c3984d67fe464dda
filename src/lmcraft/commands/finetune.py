"""`lmcraft finetune`: a model that exists, made to do one task."""

from functools import partial
from typing import TYPE_CHECKING

from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.folder import DatasetFolder, ModelFolder, write_lineage, write_text

if TYPE_CHECKING:
    from lmcraft.model_source import ModelSource
    from lmcraft.training.processes import Processes


def finetune(config: FinetuneConfig) -> ModelFolder:
    """Tune, and leave a folder with the weights of the lowest validation loss, and a page that shows what changed.

    Raises:
        UserError: the model or the data cannot be used as asked, or `out` already holds a run that is not resumed.
        InterruptedRunError: a signal asked for a stop; resume continues exactly there.
        RunError: the loss is not a number, the disk is full, or another process of the run was lost.
    """
    from lmcraft.training.environment import set_up_environment

    set_up_environment()
    from lmcraft.model_source import open_model
    from lmcraft.training.processes import join_processes

    config = config.resolved()
    with join_processes(config.device, 1) as processes, open_model(config.model) as source:
        return _finetune(config, source, processes)


def _finetune(config: FinetuneConfig, source: "ModelSource", processes: "Processes") -> ModelFolder:
    from rich.console import Console

    from lmcraft.finetuning.audit import show_batch
    from lmcraft.finetuning.comparison import compare, measured_before
    from lmcraft.finetuning.task import Task
    from lmcraft.machine import choose_machine
    from lmcraft.reports.page import write_report
    from lmcraft.training.checkpoint import step_to_resume

    folder = ModelFolder(config.out)
    step = None if config.show_batch else step_to_resume(config.out, folder.checkpoints, resume=config.resume)
    say = partial(Console(stderr=True, highlight=False, quiet=not processes.is_main).print, markup=False, soft_wrap=True)
    task = Task(config, source, say)
    if config.show_batch:
        print(show_batch(task.first_rows(), task.tokenizer, of_texts=not task.has_head))
        return folder
    machine = processes.agree(choose_machine(config.device, config.precision))
    say(f"computing in {machine.why}")
    config = task.settled(machine, processes)
    if step is None and processes.is_main:
        write_text(folder.config_toml, config.to_toml())
    trainer = task.trainer(machine, folder, step, processes)
    before = measured_before(task, trainer, folder, step)
    progress = trainer.run()
    if processes.is_main:
        if task.labels.labels:
            task.labels.save(folder.path)
        data = DatasetFolder(config.data[0])
        write_lineage(folder, parent=source.fingerprint, data=data if data.manifest_file.is_file() else None)
        for line in compare(task, trainer, before):
            say(line)
        write_report(folder)
    say(f"best validation loss {progress.best_loss:.4f} at step {progress.best_step}; the result is in {folder.path}")
    say(f"before and after, curves, answers: {folder.report}")
    return folder
