"""A local fake of the Hugging Face hub: the few requests that downloading makes, and the ways in which they fail.

Small files come from the hub itself; large ones are redirected to a second server, as on the real hub.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

LARGE = (".safetensors", ".gguf", ".bin")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repo:
    files: dict[str, bytes]
    commit: str = "a" * 40
    revisions: tuple[str, ...] = ("main",)
    license: str | None = "apache-2.0"
    gated: bool = False


@dataclass
class FakeHub:
    """A fake hub; `requests` records server ("hub" or "store"), path, Range and Authorization of each request."""

    repos: dict[str, Repo]
    requests: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    """Cut the next responses of the store after these numbers of bytes."""
    stall: threading.Event | None = None
    """After a cut, keep the connection open until this is set, instead of closing it."""
    cut_reached: threading.Event = field(default_factory=threading.Event)
    sent_instead: dict[str, bytes] = field(default_factory=dict)
    """Content to send for a file name, in place of the right one."""
    status: int | None = None
    """Answer every request with this error status."""
    ranges: bool = True
    endpoint: str = ""
    store: str = ""

    def requested_files(self) -> list[str]:
        return [path for server, path, *_ in self.requests if server == "hub" and "/resolve/" in path]

    def requested_ranges(self) -> list[str | None]:
        return [byte_range for server, _, byte_range, _ in self.requests if server == "store"]


@contextmanager
def serving(repos: dict[str, Repo]) -> Iterator[FakeHub]:
    hub = FakeHub(repos)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler_of(hub, name)) for name in ("hub", "store")]
    hub.endpoint, hub.store = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        if hub.stall:
            hub.stall.set()
        for server in servers:
            server.shutdown()
            server.server_close()


def handler_of(hub: FakeHub, server_name: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            path = unquote(self.path.split("?")[0])
            hub.requests.append((server_name, path, self.headers["Range"], self.headers["Authorization"]))
            if hub.status:
                return self.answer(hub.status)
            if server_name == "store":
                return self.send_large(path.removeprefix("/"))
            if path.startswith("/api/models/"):
                name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
                return self.send_listing(name, revision or "main")
            name, _, location = path.removeprefix("/").partition("/resolve/")
            commit, _, file = location.partition("/")
            return self.send_file(name, commit, file)

        def send_listing(self, name: str, revision: str) -> None:
            repo = hub.repos.get(name)
            if repo is None:
                return self.answer(401, {"X-Error-Code": "RepoNotFound"})
            if revision not in (*repo.revisions, repo.commit):
                return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
            siblings = []
            for file, content in repo.files.items():
                entry: dict[str, Any] = {"rfilename": file, "size": len(content), "blobId": git_sha1(content)}
                if file.endswith(LARGE):
                    entry["blobId"] = git_sha1(b"a pointer")
                    entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 130}
                siblings.append(entry)
            card = {"license": repo.license} if repo.license else {}
            answer = {"id": name, "sha": repo.commit, "siblings": siblings, "cardData": card, "tags": []}
            self.answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

        def send_file(self, name: str, commit: str, file: str) -> None:
            repo = hub.repos[name]
            if repo.gated and self.headers["Authorization"] != "Bearer hf_allowed":
                return self.answer(403, {"X-Error-Code": "GatedRepo"})
            if commit != repo.commit or file not in repo.files:
                return self.answer(404, {"X-Error-Code": "EntryNotFound"})
            content = hub.sent_instead.get(file, repo.files[file])
            headers = {"X-Repo-Commit": repo.commit}
            if file.endswith(LARGE):
                headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{sha256(content)}"'}
                return self.answer(302, headers | {"Location": f"{hub.store}/{name}/{file}"})
            return self.answer(200, headers | {"ETag": f'"{git_sha1(content)}"'}, content)

        def send_large(self, path: str) -> None:
            owner, name, file = path.split("/", 2)
            content = hub.sent_instead.get(file, hub.repos[f"{owner}/{name}"].files[file])
            start = 0
            if (byte_range := self.headers["Range"]) and hub.ranges:
                start = int(byte_range.removeprefix("bytes=").removesuffix("-"))
            headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
            cut = hub.cuts.pop(0) if hub.cuts else None
            self.answer(206 if start else 200, headers, content[start:], cut)

        def answer(
            self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", cut: int | None = None
        ) -> None:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:cut])
            self.wfile.flush()
            if cut is not None:
                hub.cut_reached.set()
                if hub.stall:
                    hub.stall.wait(30)
                self.close_connection = True

    return Handler
