"""Weight and speed of the chat page in Chromium, beside the page of llama.cpp's server.

python benchmarks/page.py [--peer FOLDER]

Prints each measure beside its bar, and the processor. The answers come from a scripted engine, so no model takes processor
time. FOLDER is a build of llama.cpp's page: `npm ci && npx vite build` in its tools/ui, which is in the source package of
llama-cpp-python, too. Needs Chromium.
"""

import argparse
import gzip
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
import lmcraft.server
from lmcraft.processor import cpu_name
from tests.server.scripted_engine import in_words, scripted_engine
from tests.server.tiny_server import running

PAGES = Path(lmcraft.server.__file__).parent / "pages"
LOADS = 7
CHAT_MESSAGES = 600
TOKENS = 2000
SECONDS_PER_TOKEN = 0.005
TIMEOUT_MS = 120_000
REVALIDATE = "no-cache"
PARAGRAPH = """## Part {n}

Some *text* about `code` and $x_{n}^2$, in **two** sentences. The second one is a little longer than the first one.

- one item
- another item with a [link](https://example.com)

```python
for number in range({n}):
    print(number, "times", {{"a": 1}})
```

"""
FIRST_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
COUNT_FRAMES = """() => {
  window.frames_ = [];
  const count = (time) => (window.frames_.push(time), requestAnimationFrame(count));
  requestAnimationFrame(count);
}"""
OPEN_CHAT = """async ([index, count]) => {
  const frame = () => new Promise(requestAnimationFrame);
  const begin = performance.now();
  document.querySelectorAll("#conversations .open")[index].click();
  while (document.querySelectorAll("#messages > li").length !== count) await frame();
  await frame();
  return performance.now() - begin;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, metavar="FOLDER", help="a build of llama.cpp's page")
    arguments = parser.parse_args()
    text = "".join(PARAGRAPH.format(n=n) for n in range(TOKENS // 20))
    pieces = in_words(text)[:TOKENS]
    with TemporaryDirectory() as folder, scripted_engine(lambda body: pieces) as engine, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        print(f"{cpu_name()}, Chromium {browser.version}")
        with running(Path(folder), upstream=engine.url) as server:
            files = [path for path in PAGES.rglob("*") if path.suffix in (".js", ".css", ".html")]
            measure("lmcraft", browser, server.url, files, engine, "#input")
            print(f"| a chat of {CHAT_MESSAGES} messages opens in | {open_chat(browser, server.url):.2f} s | < 1 s |")
        if arguments.peer:
            files = [path for path in arguments.peer.rglob("*") if path.suffix in (".js", ".css", ".html")]
            with serve_peer(arguments.peer, engine.url) as url:
                measure("llama.cpp", browser, url, files, engine, "textarea")


def measure(name: str, browser: Any, url: str, files: list[Path], engine: Any, box: str) -> None:
    """Print the weight, the first paint and the frames of a page, as rows of a table."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    received: list[int] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page.goto(url)
    page.locator(box).first.wait_for()
    page.wait_for_load_state("networkidle")
    opened = sum(received)
    paints = []
    for _ in range(LOADS):
        page.goto("about:blank")
        page.goto(url)
        page.locator(box).first.wait_for()
        paints.append(page.evaluate(FIRST_PAINT) / 1000)
    engine.seconds_per_piece = SECONDS_PER_TOKEN
    received.clear()
    frames, longest, rate = stream(page, box)
    engine.seconds_per_piece = 0
    size = sum(path.stat().st_size for path in files)
    compressed = sum(len(gzip.compress(path.read_bytes())) for path in files)
    print(f"\n| {name} | measured | bar |\n|---|---|---|")
    print(f"| all scripts, styles and HTML | {size / 1000:.0f} KB; {compressed / 1000:.0f} KB by gzip | < 400 KB |")
    print(f"| received until the page is open | {opened / 1000:.0f} KB | |")
    print(f"| first paint, warm (median of {LOADS}) | {median(paints):.2f} s | < 0.5 s |")
    print(f"| frames/s at {rate:.0f} tokens/s; longest frame | {frames:.0f}; {1000 * longest:.0f} ms | >= 50 |", flush=True)
    context.close()


def stream(page: Any, box: str) -> tuple[float, float, float]:
    """Ask for an answer and return frames/s while it arrives, the longest frame in seconds, and tokens/s."""
    page.locator(box).first.fill("Tell me everything")
    page.evaluate(COUNT_FRAMES)
    begin = time.monotonic()
    with page.expect_event("requestfinished", lambda request: request.url.endswith("/completions")):
        page.locator(box).first.press("Enter")
    seconds = time.monotonic() - begin
    times = page.evaluate("window.frames_")
    gaps = [(after - before) / 1000 for before, after in pairwise(times)]
    return len(gaps) / sum(gaps), max(gaps), TOKENS / seconds


def open_chat(browser: Any, url: str) -> float:
    """Return the median seconds from a click on a long chat to its first frame."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(TIMEOUT_MS)
    roles = ("user", "assistant")
    messages = [
        {"role": roles[n % 2], "content": PARAGRAPH.format(n=n) if n % 2 else f"Question {n}?"} for n in range(CHAT_MESSAGES)
    ]
    for chat in (messages[:2], messages):
        assert page.request.post(f"{url}/api/import", data=[{"messages": chat}]).ok
    seconds = []
    for _ in range(3):
        page.goto(url)
        page.locator("#conversations .open").nth(1).wait_for()
        seconds.append(page.evaluate(OPEN_CHAT, [0, CHAT_MESSAGES]) / 1000)
    page.context.close()
    return median(seconds)


@contextmanager
def serve_peer(folder: Path, engine_url: str) -> Iterator[str]:
    """The address of llama.cpp's page, compressed as its server sends it, in front of the engine."""
    settings = {"n_ctx": 8192, "params": {"temperature": 0.8, "samplers": []}}
    props = {
        "default_generation_settings": settings,
        "total_slots": 1,
        "model_path": "scripted",
        "modalities": {},
        "chat_template": "",
    }

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            path = folder / self.path.split("?")[0].lstrip("/")
            path = path / "index.html" if path.is_dir() else path
            if self.path.startswith(("/props", "/v1/models", "/slots")):
                with urlopen(f"{engine_url}/v1/models") as response:
                    models = json.load(response)
                self._send("application/json", json.dumps(models if "models" in self.path else props).encode(), REVALIDATE)
            elif path.is_file():
                cache = "max-age=31536000, immutable" if "immutable" in self.path else REVALIDATE
                self._send(self.guess_type(path), path.read_bytes(), cache)
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            with urlopen(Request(f"{engine_url}/v1/chat/completions", body)) as response, suppress(OSError):
                while chunk := response.read1():
                    self.wfile.write(chunk)

        def _send(self, media_type: str, body: bytes, cache: str) -> None:
            body = gzip.compress(body, 6)
            self.send_response(200)
            for name, value in {"Content-Type": media_type, "Content-Encoding": "gzip", "Cache-Control": cache}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # the page has closed the connection
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
