"""The manifest of a prepared dataset: what came in, what each stage did, and what training reads."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lmcraft.folder import write_json
from lmcraft.preparation.contracts import JsonObject, Tally, UnitResult
from lmcraft.preparation.inputs.survey import Survey
from lmcraft.preparation.recipe import Recipe

FORMAT_VERSION = 2


def write_evidence(
    folder: Path,
    recipe: Recipe,
    surveyed: Survey,
    results: Mapping[str, Sequence[UnitResult]],
    tally: Tally,
    output: JsonObject,
) -> None:
    """Write the manifest and what belongs to it.

    Args:
        folder: the dataset folder, which has its shards.
        recipe: as resolved.
        surveyed: the files, and those left out.
        results: of all steps.
        tally: the sum over all units.
        output: the entries of `output.finish`.
    """
    mixture = {
        **asdict(recipe.mixture),
        "weights": {source.name: source.weight for source in recipe.source if source.weight is not None},
        "epochs": {source.name: source.epochs for source in recipe.source if source.epochs is not None},
    }
    manifest = {
        "format_version": FORMAT_VERSION,
        **output,
        "mixture": mixture,
        "stages": tally.counts,
        "skipped": surveyed.skipped,
    }
    write_json(folder / "manifest.json", manifest)
