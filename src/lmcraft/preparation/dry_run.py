"""Runs a recipe on a sample: the same steps, and how much time and disk the whole would take."""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lmcraft.preparation.contracts import InputFile, JsonObject, Step, Unit, UnitResult
from lmcraft.preparation.execution import choose_executor
from lmcraft.preparation.execution.steps import needed_after
from lmcraft.preparation.inputs.survey import survey
from lmcraft.preparation.output.tokenizer_sample import SAMPLE, TOKENIZER
from lmcraft.preparation.pipeline import Pipeline, Results, compile_steps
from lmcraft.preparation.recipe import Recipe
from lmcraft.preparation.run import run_pipeline
from lmcraft.processor import usable_cpus

MIN_UNITS = 16  # of a sample, so that it comes from many places
MIN_UNIT_BYTES = 1 << 16
REST = "survey and start"  # what no unit does: all files are listed and hashed, and workers start
FIXED = (SAMPLE, TOKENIZER)  # steps whose time does not grow with the text


@dataclass(frozen=True)
class StepForecast:
    """A step: its time on the sample, and on the whole."""

    name: str
    sample_bytes: int
    """Bytes of work; 0 for a step that reads no text."""
    sample_seconds: float
    """Of all units together."""
    seconds: float
    """Of the whole, with all workers."""


@dataclass(frozen=True)
class Forecast:
    """What a dry run tells about the whole."""

    sample_bytes: int
    total_bytes: int
    """Of the files, as stored."""
    workers: int
    steps: Sequence[StepForecast]
    disk_bytes: int
    """Of the work folder and the dataset, at their largest."""

    @property
    def seconds(self) -> float:
        """Of the whole."""
        return sum(step.seconds for step in self.steps)


def dry_run(recipe: Recipe, work: Path, folder: Path, *, sample_bytes: int) -> Forecast:
    """Prepare a sample.

    Args:
        recipe: as for `prepare_recipe`.
        work: a new folder for the work.
        folder: the dataset folder to write, which the sample fills.
        sample_bytes: size of the sample, as stored; it has at least one unit of each source.

    Raises:
        UserError, RunError: as `prepare_recipe`.
    """
    started = time.monotonic()
    unit_bytes = max(MIN_UNIT_BYTES, min(recipe.executor.unit_bytes, sample_bytes // MIN_UNITS))
    recipe = replace(recipe, executor=replace(recipe.executor, unit_bytes=unit_bytes))
    surveyed = survey(recipe.source, work)
    total_bytes = sum(file.size for file in surveyed.files)
    sample = replace(surveyed, files=sample_files(surveyed.files, sample_bytes))
    pipeline = _with_sample(compile_steps(recipe, sample.files), sample_bytes)
    results = run_pipeline(recipe, sample, pipeline, choose_executor(recipe.executor), work, folder)
    read = sum(result.unit.size for result in results[pipeline.passes[0].name])
    workers = recipe.executor.workers or usable_cpus()
    scale = max(1.0, total_bytes / max(read, 1))
    steps = [_forecast_step(name, finished, scale, workers) for name, finished in results.items() if finished]
    working = sum(_forecast_step(name, finished, 1.0, workers).seconds for name, finished in results.items())
    rest = max(0.0, time.monotonic() - started - working)
    steps.insert(0, StepForecast(REST, 0, rest, rest))
    disk = round(_peak_bytes(pipeline.steps, results) * scale)
    return Forecast(read, total_bytes, workers, steps, disk)


def sample_files(files: Sequence[InputFile], sample_bytes: int) -> list[InputFile]:
    """Files in the order of a hash until they have the size of the sample; at least one of each source."""
    sources = sorted({file.source for file in files})
    chosen = set()
    for source in sources:
        size = 0
        for file in sorted((file for file in files if file.source == source), key=_rank_file):
            if size < sample_bytes:
                chosen.add(file.number)
                size += file.size
    return [file for file in files if file.number in chosen]


def choose_units(units: Sequence[Unit], sample_bytes: int) -> list[Unit]:
    """Units in the order of their keys until they have the size of the sample; at least one that reads each source."""
    ranked = sorted(units, key=lambda unit: unit.key)
    first: dict[int, Unit] = {}
    for unit in ranked:
        for source in _sources_of(unit):
            first.setdefault(source, unit)
    chosen = {unit.key for unit in first.values()}
    size = sum(unit.size for unit in units if unit.key in chosen)
    for unit in ranked:
        if size >= sample_bytes:
            break
        if unit.key not in chosen:
            chosen.add(unit.key)
            size += unit.size
    return [unit for unit in units if unit.key in chosen]


def _rank_file(file: InputFile) -> str:
    return hashlib.blake2b(file.path.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _sources_of(unit: Unit) -> set[int]:
    files: Iterable[JsonObject] = unit.arguments["files"]
    return {file["source"] for file in files}


def _with_sample(pipeline: Pipeline, sample_bytes: int) -> Pipeline:
    """The pipeline whose first pass reads a sample only."""
    first = pipeline.passes[0].name

    def limit(step: Step) -> Step:
        return replace(step, units=lambda results: choose_units(step.units(results), sample_bytes))

    return replace(pipeline, steps=tuple(limit(step) if step.name == first else step for step in pipeline.steps))


def _forecast_step(name: str, finished: Sequence[UnitResult], scale: float, workers: int) -> StepForecast:
    seconds = sum(result.seconds for result in finished)
    size = sum(result.unit.size for result in finished)
    if name in FIXED or name.startswith("resource/"):
        return StepForecast(name, size, seconds, seconds)
    is_divided = len(finished) > 1 or size > 0
    return StepForecast(name, size, seconds, seconds * scale / (workers if is_divided else 1))


def _peak_bytes(steps: Sequence[Step], results: Results) -> int:
    """The largest size of all outputs that exist at the same time."""
    sizes = {
        name: sum(size for result in finished for size, _ in result.outputs.values()) for name, finished in results.items()
    }
    peak, alive = 0, set[str]()
    for number, step in enumerate(steps):
        alive.add(step.name)
        peak = max(peak, sum(sizes[name] for name in alive))
        alive &= needed_after(steps, number)
    return peak
