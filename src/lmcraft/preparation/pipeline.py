"""From a recipe to steps: which stages share a pass over the documents, and what must be complete before what."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lmcraft.errors import UserError
from lmcraft.preparation.contracts import GlobalStage, InputFile, JsonObject, Stage, Step, Unit, UnitResult
from lmcraft.preparation.inputs.cutting import cut
from lmcraft.preparation.inputs.readers import reading_version
from lmcraft.preparation.inputs.unpacking import unpack_units
from lmcraft.preparation.output.set_aside import set_aside_step
from lmcraft.preparation.output.steps import output_steps
from lmcraft.preparation.recipe import Recipe, SourceConfig, StageConfig
from lmcraft.preparation.stages.catalog import SHARE_A_PASS, build_stage

RUN_PASS = "lmcraft.preparation.passes:run_pass"
UNPACK = "unpack"
MODERATE = "moderate"  # the kind of stage that sets documents aside
SCRUB = "scrub"  # the kind of stage whose recipes have no personal data in any example
Results = Mapping[str, Sequence[UnitResult]]


@dataclass(frozen=True)
class Pass:
    """Stages that one pass runs, and the comparisons that it sketches for."""

    name: str
    stages: tuple[StageConfig, ...]
    sketches: tuple[StageConfig, ...]


@dataclass(frozen=True)
class Pipeline:
    """The steps of a preparation, in order; `passes` are those that count what stages do, the last leaves the dataset."""

    steps: tuple[Step, ...]
    passes: tuple[Pass, ...]


def compile_steps(recipe: Recipe, files: Sequence[InputFile]) -> Pipeline:
    """The steps of a recipe on files.

    Raises:
        UserError: a stage is unknown, or has an impossible setting.
    """
    opened = {config.name: build_stage(config.kind, config.name, config.settings) for config in recipe.stage}
    passes = _group(recipe.stage, opened)
    steps = [Step(UNPACK, lambda results: unpack_units(files, recipe.source), reads=())]
    previous: Pass | None = None
    for current in passes:
        steps += _resource_steps(current, opened)
        units = _units(recipe, files, current, previous, opened)
        steps.append(Step(current.name, units, reads=_inputs_of(current, previous), weight=_weight(current)))
        if any(config.kind == MODERATE for config in current.stages):
            steps.append(set_aside_step(current.name))
        for config in current.sketches:
            stage: Any = opened[config.name]
            steps += [_with_alias(step, f"sketch/{config.name}", current.name) for step in stage.steps()]
        previous = current
    steps += output_steps(recipe, passes[-1].name)
    return Pipeline(tuple(steps), passes)


def _group(configs: Sequence[StageConfig], opened: Mapping[str, Stage | GlobalStage]) -> tuple[Pass, ...]:
    """The passes: a pass ends where documents are compared, and the next one begins with the verdicts."""
    groups: list[tuple[list[StageConfig], list[StageConfig]]] = [([], [])]
    for config in configs:
        sketches = groups[-1][1]
        if hasattr(opened[config.name], "judge"):
            if sketches:
                groups.append(([], []))
            groups[-1][0].append(config)
            continue
        if config.sources or config.languages:
            raise UserError(f"stage {config.name!r} compares all documents: leave out its sources and languages")
        if sketches and not {config.kind, *(other.kind for other in sketches)} <= set(SHARE_A_PASS):
            groups.append(([], []))
        groups[-1][1].append(config)
    if groups[-1][1]:
        groups.append(([], []))  # carries out the last verdicts
    return tuple(Pass(f"pass-{number}", tuple(stages), tuple(sketches)) for number, (stages, sketches) in enumerate(groups))


def _weight(current: Pass) -> float:
    """Its time, as `Step.weight`: three stages and two sketches are usual."""
    models = sum(config.kind == "model" for config in current.sketches)
    return 0.2 + 0.2 * len(current.stages) + 0.1 * len(current.sketches) + 10 * models


def _inputs_of(current: Pass, previous: Pass | None) -> list[str]:
    """The steps whose outputs a pass reads."""
    resources = [_resource(config.name) for config in current.stages]
    if previous is None:
        return [UNPACK, *resources]
    return [previous.name, *(f"verdicts/{config.name}" for config in previous.sketches), *resources]


def _resource_steps(current: Pass, opened: Mapping[str, Any]) -> Iterator[Step]:
    for config in current.stages:
        stage = opened[config.name]
        if hasattr(stage, "resource"):
            yield Step(_resource(config.name), lambda results, stage=stage: [stage.resource()], reads=())  # type: ignore[misc]


def _resource(name: str) -> str:
    return f"resource/{name}"


def _units(
    recipe: Recipe,
    files: Sequence[InputFile],
    current: Pass,
    previous: Pass | None,
    opened: Mapping[str, Stage | GlobalStage],
) -> Callable[[Results], Sequence[Unit]]:
    own: JsonObject = {
        "stages": [asdict(config) for config in current.stages],
        "sketches": [asdict(config) for config in current.sketches],
        "fingerprints": {
            config.name: [opened[config.name].version, opened[config.name].fingerprint()]
            for config in (*current.stages, *current.sketches)
        },
    }

    if scrubbed := [asdict(config) for config in recipe.stage if config.kind == SCRUB]:
        own["scrubbed"] = scrubbed

    def units(results: Results) -> Sequence[Unit]:
        with_resource = [config.name for config in current.stages if _resource(config.name) in results]
        resources = {name: results[_resource(name)][0].unit.key for name in with_resource}
        arguments = {**own, "resources": resources}
        if previous is None:
            sized = _first_units(recipe, files, results)
        else:
            sized = _next_units(previous, results)
        return [
            Unit(
                step=current.name,
                number=number,
                function=RUN_PASS,
                arguments={**arguments, **more},
                inputs=(*inputs, *resources.values()),
                size=size,
            )
            for number, (more, inputs, size) in enumerate(sized)
        ]

    return units


def _first_units(
    recipe: Recipe, files: Sequence[InputFile], results: Results
) -> Iterator[tuple[JsonObject, tuple[str, ...], int]]:
    by_number = {file.number: file for file in files}
    for portions in cut(files, results[UNPACK], recipe.executor.unit_bytes):
        used = [by_number[number] for number in dict.fromkeys(portion.file for portion in portions)]
        sources = {file.source: _reading_settings(recipe.source[file.source]) for file in used}
        arguments = {
            "portions": [asdict(portion) for portion in portions],
            "files": [asdict(file) for file in used],
            "sources": {str(index): asdict(source) for index, source in sources.items()},
            "document_chars": recipe.document_chars,
            "reading": reading_version(),
            "verdicts": [],
        }
        blocks = dict.fromkeys(portion.block.partition("/")[0] for portion in portions if portion.block)
        yield arguments, tuple(blocks), sum(portion.size for portion in portions)


def _reading_settings(source: SourceConfig) -> SourceConfig:
    """The settings of a source without those that only matter when training reads it."""
    return replace(source, weight=None, epochs=None)


def _next_units(previous: Pass, results: Results) -> Iterator[tuple[JsonObject, tuple[str, ...], int]]:
    for number, result in enumerate(results[previous.name]):
        keys = [results[f"verdicts/{config.name}"][number].unit.key for config in previous.sketches]
        arguments = {
            "records": result.unit.key,
            "verdicts": [[asdict(config), key] for config, key in zip(previous.sketches, keys, strict=True)],
        }
        yield arguments, (result.unit.key, *keys), result.unit.size


def _with_alias(step: Step, alias: str, name: str) -> Step:
    """A step that also sees the results of the step `name` under the name `alias`."""
    reads = None if step.reads is None else [name if read == alias else read for read in step.reads]
    return replace(step, units=lambda results: step.units({**results, alias: results[name]}), reads=reads)
