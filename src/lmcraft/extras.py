"""Optional dependencies: importing one, and the command that installs it."""

import importlib
import json
from importlib.metadata import Distribution, distribution
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from lmcraft.errors import UserError

DISTRIBUTION = "lmcraft"


def import_optional(module: str, extra: str, feature: str) -> Any:
    """Import an optional dependency.

    Args:
        module: its name in Python.
        extra: the extra of lmcraft that installs it.
        feature: what needs it, for the error.

    Raises:
        UserError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = (error.name or module).partition(".")[0]
        raise UserError(f"{feature} needs the package '{package}': {install_command(extra)}") from error


def install_command(extra: str) -> str:
    """The pip command that adds an extra to this installation, which may be a checkout or come from a package index."""
    return f"pip install {_requirement(distribution(DISTRIBUTION), extra)}"


def _requirement(installed: Distribution, extra: str) -> str:
    origin = json.loads(installed.read_text("direct_url.json") or "{}")  # PEP 610; absent if it came from an index
    url = str(origin.get("url", ""))
    if not url.startswith("file:"):
        return f"'{DISTRIBUTION}[{extra}]'"
    folder = url2pathname(urlsplit(url).path)
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return f"{editable}'{folder}[{extra}]'"
