"""Optional dependencies: importing one, and the command that installs it."""

import importlib
import json
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from lmcraft.errors import UserError

DISTRIBUTION = "lmcraft"
# What each extra is for. The others are for developers, or sums of these.
PURPOSES = {
    "serve": "lmcraft serve: the API and the chat page",
    "gguf": "GGUF files, such as smollm2-135m-instruct",
    "grammar": "JSON schemas, regular expressions and grammars",
    "parquet": "Parquet files",
    "zstd": "files compressed with Zstandard",
    "prepare": "lmcraft prepare: languages, near-duplicates, repair of encodings",
    "web": "lmcraft prepare: HTML and WARC files",
    "privacy": "lmcraft scrub, and scrubbing in lmcraft prepare",
    "remote": "files on S3 and HTTP servers",
    "ray": "lmcraft prepare on a Ray cluster",
    "ray-serve": "engines on a Ray cluster, behind lmcraft serve",
    "hf": "datasets of the Hugging Face hub",
    "pdf": "PDF files in the chat page",
    "retrieval": "answers from documents: lmcraft serve --documents",
    "search": "lmcraft search",
    "review": "lmcraft review: items, verdicts and the audit log",
    "postgresql": "searches and reviews over several machines",
    "translation": "lmcraft evaluate: translations (BLEU, chrF)",
    "reasoning-gym": "lmcraft evaluate: generated reasoning tasks",
    "lm-eval": "EleutherAI's evaluation harness on our models",
    "tensorboard": "curves in TensorBoard",
    "codecarbon": "lmcraft doctor --energy: CodeCarbon's figures beside ours",
    "trackio": "lmcraft runs --export trackio",
}
REQUIREMENT = re.compile(r"([\w.-]+).*;\s*extra\s*==\s*['\"]([\w-]+)['\"]")


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


def missing_packages(extra: str) -> list[str]:
    """The packages of an extra that are not installed; the extra itself if it is newer than the installation's metadata.

    A checkout that was updated without `pip install` has the metadata of before.
    """
    matches = (REQUIREMENT.match(line) for line in distribution(DISTRIBUTION).requires or [])
    names = [match[1] for match in matches if match and match[2] == extra]
    return [name for name in names or [extra] if not _is_installed(name)]


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def _requirement(installed: Distribution, extra: str) -> str:
    origin = json.loads(installed.read_text("direct_url.json") or "{}")  # PEP 610; absent if it came from an index
    url = str(origin.get("url", ""))
    if not url.startswith("file:"):
        return f"'{DISTRIBUTION}[{extra}]'"
    folder = url2pathname(urlsplit(url).path)
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return f"{editable}'{folder}[{extra}]'"
