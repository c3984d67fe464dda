"""The files of the pages (chat, review, runs): compressed once, and at addresses that change with their content.

A page refers to its files below `/pages/VERSION/`, where VERSION is a hash of all of them. Such an address is cached for
good, so a browser asks only whether the page has changed. Imports in the modules are relative, and so stay below the same
version.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from lmcraft.server.errors import ApiError

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
PAGES = {"/": "index.html", "/review": "review.html", "/runs": "runs.html"}
"""The file of each page, by its address."""
VERSION_CHARACTERS = 16
CACHE_FOR_GOOD = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"


@dataclass(frozen=True)
class PageFile:
    """A file, as it is and compressed."""

    media_type: str
    body: bytes
    compressed: bytes
    etag: str


class PageFiles:
    """All files of `folder`, in memory.

    Args:
        folder: holds the pages and the files they load; files with other endings than those of MEDIA_TYPES are not served.
    """

    def __init__(self, folder: Path) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.suffix in MEDIA_TYPES)
        bodies = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        digest = sha256()
        for name, body in bodies.items():
            digest.update(f"{name} {len(body)}\n".encode() + body)
        self.version = digest.hexdigest()[:VERSION_CHARACTERS]
        for name in PAGES.values():
            if name in bodies:
                bodies[name] = bodies[name].replace(b'="/pages/', f'="/pages/{self.version}/'.encode())
        self._files = {name: _compress(Path(name).suffix, body) for name, body in bodies.items()}

    def page(self, name: str) -> Callable[[Request], Response]:
        """The endpoint of the page in the file `name`."""

        def respond(request: Request) -> Response:
            return _respond(request, self._find(request, name), REVALIDATE)

        return respond

    def file(self, request: Request, path: str) -> Response:
        """The file at /pages/`path`, which begins with a version or not.

        A page that was opened before the server was updated asks for an older version, and gets the current one.

        Raises:
            ApiError: 404; there is no such file.
        """
        version, _, name = path.partition("/")
        file = self._find(request, name if name and len(version) == VERSION_CHARACTERS else path)
        return _respond(request, file, CACHE_FOR_GOOD if version == self.version else REVALIDATE)

    def _find(self, request: Request, name: str) -> PageFile:
        if (file := self._files.get(name)) is None:
            raise ApiError(404, f"there is no {request.url.path[:200]!a} on this server", code="not_found")
        return file


def _compress(suffix: str, body: bytes) -> PageFile:
    etag = f'"{sha256(body).hexdigest()[:VERSION_CHARACTERS]}"'
    return PageFile(MEDIA_TYPES[suffix], body, gzip.compress(body, mtime=0), etag)


def _respond(request: Request, file: PageFile, cache_control: str) -> Response:
    headers = {"cache-control": cache_control, "etag": file.etag, "vary": "Accept-Encoding"}
    if file.etag in request.headers.get("if-none-match", "").replace("W/", "").replace(" ", "").split(","):
        return Response(status_code=304, headers=headers)
    if not _accepts_gzip(request.headers.get("accept-encoding", "")):
        return Response(file.body, media_type=file.media_type, headers=headers)
    return Response(file.compressed, media_type=file.media_type, headers=headers | {"content-encoding": "gzip"})


def _accepts_gzip(accept_encoding: str) -> bool:
    """Whether the header names gzip with a weight above 0."""
    for item in accept_encoding.lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "").strip("0.") != "q="
    return False
