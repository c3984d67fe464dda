"""The list of items on the review page: a store of 100,000 behind a server, scrolled in Chromium.

python benchmarks/review/scrolling.py [--items 100000]

Milliseconds between frames, tasks of more than 50 ms, and what of a frame the page's scripts, styles and layout take. All
items are loaded before, by scrolling to the end of the list again and again. Needs Chromium.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from scale import fill

sys.path.insert(0, str(Path(__file__).parents[2]))
from lmcraft.annotation.store import ReviewStore
from lmcraft.processor import cpu_name
from tests.server.serve_process import serving

SPEEDS = (40, 400, 4000)  # pixels per frame: reading, flinging, dragging the scroll bar
FRAMES = 300
METRICS = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")
LOAD_ALL = """async (count) => {
  const view = document.getElementById("view");
  const list = document.querySelector(".virtual");
  const wait = () => new Promise(requestAnimationFrame);
  while (!document.querySelector(".list-notes .note").textContent.startsWith(count)) {
    view.scrollTop = view.scrollHeight;
    await wait();
  }
  view.scrollTop = list.offsetHeight / 2;
  await wait();
}"""
SCROLL = """async ([pixels, frames]) => {
  const view = document.getElementById("view");
  const tasks = [];
  const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration)));
  observer.observe({ type: "longtask" });
  const gaps = [];
  let step = pixels;
  let last = await new Promise(requestAnimationFrame);
  for (let i = 0; i < frames; i += 1) {
    view.scrollTop += step;
    if (view.scrollTop <= 0 || view.scrollTop + view.clientHeight >= view.scrollHeight - 1) step = -step;
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    last = now;
  }
  observer.disconnect();
  gaps.sort((a, b) => a - b);
  const at = (share) => gaps[Math.min(gaps.length - 1, Math.floor(share * gaps.length))];
  return { gaps: [at(0.5), at(0.95), at(0.99), gaps.at(-1)], tasks, rows: document.querySelectorAll(".virtual li").length };
}"""


def measure(page: Any, session: Any, pixels: int) -> None:
    """Scroll at a speed, and print a row of the table."""
    before = read_metrics(session)
    result = page.evaluate(SCROLL, [pixels, FRAMES])
    after = read_metrics(session)
    work = sum(1000 * (after[name] - before[name]) for name in METRICS) / FRAMES
    cells = [*(f"{gap:.1f}" for gap in result["gaps"]), str(len(result["tasks"])), f"{work:.1f}", str(result["rows"])]
    print(f"| {pixels} px per frame | {' | '.join(cells)} |", flush=True)


def read_metrics(session: Any) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        location = str(Path(folder) / "reviews.sqlite")
        store = ReviewStore.open(location)
        fill(store, arguments.items)
        store.close()
        with serving("--reviews", location) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-US")
            page.set_default_timeout(600_000)
            started = time.perf_counter()
            page.goto(f"{url}/review#/items")
            page.wait_for_selector(".virtual li")
            print(f"{cpu_name()}, {arguments.items:,} items; first rows after {time.perf_counter() - started:.2f} s")
            page.evaluate(LOAD_ALL, f"{arguments.items:,} items")
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")
            print("\n| scrolling | p50, ms | p95 | p99 | longest | tasks over 50 ms | work, ms | rows |")
            print("|---|---|---|---|---|---|---|---|")
            for pixels in SPEEDS:
                measure(page, session, pixels)
            browser.close()


if __name__ == "__main__":
    main()
