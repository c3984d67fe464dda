"""Show the site on this machine, and build it again when a page changes."""

import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from scripts.docs_site.build import build
from scripts.docs_site.pages import FOLDERS, ROOT, DocsError

WATCHED = ("docs", "scripts/docs_site", *FOLDERS)
SECONDS = 1.0  # between two looks at the files


def serve(out: Path, port: int) -> None:
    """Until Ctrl-C."""
    rebuild(out)
    handler = partial(SimpleHTTPRequestHandler, directory=str(out))
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/  (Ctrl-C ends it)", flush=True)
    seen = newest()
    try:
        while True:
            time.sleep(SECONDS)
            if (changed := newest()) != seen:
                seen = changed
                rebuild(out)
    except KeyboardInterrupt:
        server.shutdown()


def rebuild(out: Path) -> None:
    try:
        build(out)
        print("built", flush=True)
    except DocsError as error:
        print(error, flush=True)


def newest() -> tuple[int, float]:
    """Number of the watched files, and when the last one changed."""
    files = [
        path
        for folder in WATCHED
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".md", ".py", ".css", ".js", ".html")
    ]
    files += [*ROOT.glob("*.md"), *ROOT.glob("zensical*.toml")]
    return len(files), max(path.stat().st_mtime for path in files)
