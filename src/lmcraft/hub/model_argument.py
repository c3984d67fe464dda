"""The type of settings that name a model: the shell completes short names."""

from typing import Annotated, Any

import cyclopts

from lmcraft.hub.short_names import NAMES


def complete_short_names(context: Any) -> list[str]:
    """The short names that the word under the cursor may become; the shell adds its files."""
    return [name for name in NAMES if name.startswith(context.incomplete)]


_COMPLETED = cyclopts.Parameter(completer=complete_short_names)
ModelArgument = Annotated[str, _COMPLETED]
ModelArguments = Annotated[tuple[str, ...], _COMPLETED]
