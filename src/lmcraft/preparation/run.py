"""Runs a preparation: survey, steps, and the dataset folder at the end."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from lmcraft.data.documents import count_noun
from lmcraft.energy.meter import open_meter
from lmcraft.errors import LmcraftError, UserError
from lmcraft.folder import DatasetFolder, replace_output
from lmcraft.folder.lock import lock_folder
from lmcraft.folder.output import DATASET
from lmcraft.lineage.record import write_dataset_lineage
from lmcraft.preparation.contracts import Executor, Unit
from lmcraft.preparation.energy import recording_start, write_energy
from lmcraft.preparation.execution import choose_executor
from lmcraft.preparation.execution.journal import UNITS, Journal, total_tally
from lmcraft.preparation.execution.slurm import SURVEY, parse_share
from lmcraft.preparation.execution.steps import check_step, run_share, run_steps
from lmcraft.preparation.inputs.survey import Survey, survey
from lmcraft.preparation.output.finish import finish
from lmcraft.preparation.output.manifest import write_evidence
from lmcraft.preparation.output.set_aside import finish_set_aside
from lmcraft.preparation.output.steps import NoDocumentsError
from lmcraft.preparation.output.summary import explain_empty
from lmcraft.preparation.output.tokenizer_sample import TOKENIZER
from lmcraft.preparation.pipeline import Pipeline, Results, compile_steps
from lmcraft.preparation.recipe import Recipe
from lmcraft.terminal import format_duration
from lmcraft.tokenizer import Tokenizer

MIN_SHARE_SHOWN = 0.02  # of the time of all steps
Describe = Callable[[DatasetFolder], object]
"""Adds a file for people to a dataset folder."""


def prepare_recipe(
    recipe: Recipe, out: Path, *, overwrite: bool = False, fresh: bool = False, describe: Describe | None = None
) -> DatasetFolder:
    """Prepare a dataset. Ended at any moment, it goes on where it was when it is called again.

    Args:
        recipe: sources, stages, mixture and executor.
        out: the dataset folder to write; appears when it is complete.
        overwrite: replace it if it is a dataset folder.
        fresh: forget unfinished work.
        describe: called with the complete folder before it appears.

    Raises:
        UserError: a source cannot be read, a setting is impossible, or `out` cannot be written.
        RunError: the disk is full, or a unit of work cannot be done; what is finished is kept.
    """
    if recipe.tokenizer is not None:
        Tokenizer.load(recipe.tokenizer)
    compile_steps(recipe, [])
    begin, executor, work = open_meter().read(), choose_executor(recipe.executor), work_folder(recipe, out)
    with replace_output(out, DATASET, overwrite=overwrite, sources=local_sources(recipe)) as folder:
        if fresh and work.exists():
            shutil.rmtree(work)
        with _work_folder(work), recording_start(work, begin) as energy:
            surveyed = survey(recipe.source, work)
            for line in describe_skipped(surveyed.skipped):
                print(line)
            results = run_pipeline(recipe, surveyed, compile_steps(recipe, surveyed.files), executor, work, folder)
            print(f"time of all workers: {describe_times(results)}")
            write_dataset_lineage(folder)
            write_energy(folder, work, energy)
            if describe is not None:
                describe(DatasetFolder(folder))
    shutil.rmtree(work)
    return DatasetFolder(out)


def run_element(recipe: Recipe, out: Path, step: str, units: str) -> None:
    """Do some units of a step, as an element of an array job does; others may work in the same folder.

    Args:
        recipe: as for `prepare_recipe`.
        out: the dataset folder, which is not written.
        step: whose units, or `survey`.
        units: as `parse_share` reads it.

    Raises:
        UserError: there is no such step, or as `prepare_recipe`.
        RunError: a step before it is not complete, or as `prepare_recipe`.
    """
    begin = open_meter().read()
    share, executor, work = parse_share(units), choose_executor(recipe.executor), work_folder(recipe, out)
    check_step(step, [SURVEY, *(compiled.name for compiled in compile_steps(recipe, []).steps)])
    is_new = not work.exists()
    work.mkdir(parents=True, exist_ok=True)
    try:
        surveyed = survey(recipe.source, work)
    except LmcraftError:
        if is_new:  # so no other element is at work in it
            shutil.rmtree(work, ignore_errors=True)
        raise
    with recording_start(work, begin):
        if step != SURVEY:
            with _explain_no_documents(recipe, work):
                run_share(compile_steps(recipe, surveyed.files).steps, work, executor, step, share)


def run_pipeline(
    recipe: Recipe, surveyed: Survey, pipeline: Pipeline, executor: Executor, work: Path, folder: Path
) -> Results:
    """Run the steps in a work folder and write the dataset into a new folder; returns the results of the steps."""
    kept = [TOKENIZER, *(f"verdicts/{stage.name}" for part in pipeline.passes for stage in part.sketches)]
    with _explain_no_documents(recipe, work):
        results = run_steps(pipeline.steps, work, executor, keep=kept)
    folder.mkdir()
    journal = Journal(work)

    def locate(unit: Unit) -> Path:
        return journal.folder(unit.key)

    output = finish(folder, results, locate) | finish_set_aside(folder, results, locate)
    tally = total_tally(chain.from_iterable(results.values()), work)
    write_evidence(folder, recipe, surveyed, results, tally, output, locate)
    return results


@contextmanager
def _explain_no_documents(recipe: Recipe, work: Path) -> Iterator[None]:
    """Add to the error that no document is left what removed them."""
    try:
        yield
    except NoDocumentsError as error:
        tally = total_tally(chain.from_iterable(error.results.values()), work)
        raise UserError(f"{error}: {explain_empty(recipe, tally)}") from error


def describe_times(results: Results) -> str:
    """The steps that took the most time, with their speed; the dataset itself holds no times."""
    seconds = {name: sum(result.seconds for result in finished) for name, finished in results.items()}
    total = sum(seconds.values())
    longest = sorted((name for name in seconds if seconds[name] >= MIN_SHARE_SHOWN * total), key=lambda name: -seconds[name])
    shown = []
    for name in longest:
        size = sum(result.unit.size for result in results[name])
        speed = f" ({size / seconds[name] / 1e6:.1f} MB/s)" if size and seconds[name] else ""
        shown.append(f"{name} {format_duration(seconds[name])}{speed}")
    return f"{format_duration(total)}; {', '.join(shown)}"


def work_folder(recipe: Recipe, out: Path) -> Path:
    """Where unfinished work lies: a folder of its own, since it is removed at the end.

    Raises:
        UserError: it would lie in the dataset folder, which appears only when the work is done.
    """
    work = recipe.executor.work
    if work is not None and Path(os.path.realpath(work)).is_relative_to(os.path.realpath(out)):
        raise UserError(f"work='{work}' is the folder of --out, or lies in it: choose a folder outside '{out}'")
    return (recipe.executor.work or out.parent) / f".{out.name}.lmcraft-prepare"


@contextmanager
def _work_folder(work: Path) -> Iterator[None]:
    """Lock the work folder; it is removed if an error comes before anything is finished."""
    work.parent.mkdir(parents=True, exist_ok=True)
    try:
        with lock_folder(work, wait=False, create=True):
            yield
    except LmcraftError:
        if not any((work / UNITS).glob("*.json")):
            shutil.rmtree(work, ignore_errors=True)
        raise


def describe_skipped(skipped: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """A line for each reason why files were left out, with the first of them."""
    by_reason: dict[str, list[str]] = {}
    for entry in skipped:
        by_reason.setdefault(entry["reason"], []).append(entry["file"])
    for reason, files in by_reason.items():
        others = count_noun(len(files) - 1, "more file", "more files")
        yield f"skipped: {files[0]}{f' and {others}' if len(files) > 1 else ''}: {reason}"


def local_sources(recipe: Recipe) -> list[tuple[str, str]]:
    """The paths of the sources on this machine, which the output must not replace."""
    return [("source", path) for source in recipe.source for path in source.paths if "://" not in path]
