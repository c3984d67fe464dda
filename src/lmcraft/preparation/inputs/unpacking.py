"""Unpacks what cannot be read in parts."""

from collections.abc import Sequence

from lmcraft.preparation.contracts import InputFile, Unit
from lmcraft.preparation.recipe import SourceConfig


def unpack_units(files: Sequence[InputFile], sources: Sequence[SourceConfig]) -> list[Unit]:
    """The units of the step "unpack"."""
    return []
