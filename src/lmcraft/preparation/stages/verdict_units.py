"""The last step of a stage that first sums up all documents in one unit, and then judges each by the sum."""

from collections.abc import Mapping, Sequence

from lmcraft.preparation.contracts import Unit, UnitResult


def verdict_units(
    name: str, version: int, results: Mapping[str, Sequence[UnitResult]], summary: str, function: str
) -> list[Unit]:
    """A unit of "verdicts/NAME" for each unit of sketches, which it reads together with the summary.

    Args:
        name: of the stage.
        version: of the stage.
        results: of the steps so far.
        summary: the step whose one unit read all sketches.
        function: what each unit does, "module:function".
    """
    [summed] = results[summary]
    sketches = results[f"sketch/{name}"]
    return [
        Unit(f"verdicts/{name}", number, function, {"name": name}, (sketched.unit.key, summed.unit.key), version=version)
        for number, sketched in enumerate(sketches)
    ]
