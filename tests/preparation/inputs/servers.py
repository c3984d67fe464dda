"""An HTTP server on loopback, with or without ranges, that can fail and change its files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class WebFiles:
    """What a server serves, and how."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    says_size: bool = True
    failures: int = 0
    """How many of the next requests are answered with 503."""
    requests: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve(files: WebFiles) -> Iterator[WebFiles]:
    """Serve files while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            files.requests.append(f"{self.command} {self.headers.get('Range', '')}".strip())
            body = files.files.get(self.path.lstrip("/").partition("?")[0])
            if files.failures > 0 or body is None:
                files.failures -= 1
                self.send_response(404 if body is None else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            etag = f'"{md5(body).hexdigest()}"'
            span = self.headers.get("Range", "")
            if files.ranges and span:
                first, _, last = span.removeprefix("bytes=").partition("-")
                start, end = int(first), min(int(last or len(body) - 1) + 1, len(body))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
                body = body[start:end]
            else:
                self.send_response(200)
            self.send_header("ETag", etag)
            if files.says_size:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    files.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
