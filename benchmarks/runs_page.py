"""The page of runs in Chromium: 200 runs of 10,000 steps in the same charts.

    python benchmarks/runs_page.py [--runs 200] [--steps 10000]

Prints a Markdown table of gestures, one of which is made in each frame: milliseconds between frames, and the processor time
of the page's main thread per frame, which other work on the machine does not change much. Then a run is started in a
terminal: seconds from its folder to its row in the list. Needs Chromium and Linux.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from runs import write_run

sys.path.insert(0, str(Path(__file__).parents[1]))
from lmcraft.processor import cpu_name
from tests.server.serve_process import serving

FRAMES = 240
TIMEOUT_MS = 600_000
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
# What happens in each frame: `n` counts them, and `box` is where the chart is.
GESTURES = {
    "pointer moves over a chart": "move(box.x + 80 + (n * 3) % (box.width - 120), box.y + 60 + (n % 80))",
    "Ctrl and the wheel zoom in and out": "wheel(box.x + box.width / 2, box.y + 80, n % 80 < 40 ? -40 : 40)",
    "Shift and dragging move": "drag(box.x + 100 + 2 * (n % 100), box.y + 80, n)",
    "the slider smooths": "smooth((n % 20) / 20)",
    "the page scrolls": "view.scrollTop = Math.abs((n * 30) % 1600 - 800)",
}
RUN_GESTURE = """async ([gesture, frames]) => {
  const view = document.getElementById("view");
  const plot = document.querySelector(".chart .plot");
  plot.scrollIntoView({ block: "center" });
  plot.setPointerCapture = () => {};
  const box = plot.getBoundingClientRect();
  const mouse = { pointerType: "mouse", pointerId: 1, bubbles: true };
  const pointer = (type, clientX, clientY, more = {}) =>
    plot.dispatchEvent(new PointerEvent(type, { clientX, clientY, ...mouse, ...more }));
  const move = (x, y) => pointer("pointermove", x, y);
  const wheel = (clientX, clientY, deltaY) =>
    plot.dispatchEvent(new WheelEvent("wheel", { clientX, clientY, deltaY, ctrlKey: true, cancelable: true }));
  const drag = (x, y, n) => {
    if (n === 0) for (let i = 0; i < 10; i += 1) wheel(box.x + box.width / 2, box.y + 80, -100);
    if (n === 0) pointer("pointerdown", x, y, { shiftKey: true });
    pointer("pointermove", x, y, { shiftKey: true });
  };
  const slider = document.querySelector("[name=smoothing]");
  const smooth = (value) => {
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
  };
  const act = new Function("n", "box", "view", "move", "wheel", "drag", "smooth", gesture);
  const gaps = [];
  let last = await new Promise(requestAnimationFrame);
  for (let n = 0; n < frames; n += 1) {
    act(n, box, view, move, wheel, drag, smooth);
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    last = now;
  }
  pointer("pointercancel", 0, 0);
  plot.dispatchEvent(new MouseEvent("dblclick"));
  smooth(0);
  gaps.sort((a, b) => a - b);
  const at = (share) => gaps[Math.min(gaps.length - 1, Math.floor(share * gaps.length))];
  return [at(0.5), at(0.95), at(0.99), gaps.at(-1)];
}"""
# As the benchmark passes a string of code, which the page's policy forbids, the policy is bypassed in this browser.


def open_comparison(page: Any, url: str, runs: int) -> None:
    started = time.perf_counter()
    page.goto(f"{url}/runs")
    page.wait_for_selector(".runs-table tbody tr")
    print(f"| {runs} runs in the list | {time.perf_counter() - started:.2f} s |")
    page.keyboard.press("a")
    started = time.perf_counter()
    page.keyboard.press("c")
    page.wait_for_selector(".chart")
    print(f"| first curves | {time.perf_counter() - started:.2f} s |")
    page.wait_for_function("document.querySelector('.curves > [role=status]').textContent === ''")
    print(f"| all curves of {runs} runs | {time.perf_counter() - started:.2f} s |", flush=True)


def measure(page: Any, thread: Path, name: str, gesture: str) -> None:
    """Repeat a gesture in each frame, and print a row of the table."""
    before = read_seconds(thread)
    gaps = page.evaluate(RUN_GESTURE, [gesture, FRAMES])
    work = 1000 * (read_seconds(thread) - before) / FRAMES
    print(f"| {name} | {' | '.join(f'{value:.1f}' for value in (*gaps, work))} |", flush=True)


def find_main_thread() -> Path:
    """The main thread of the page in /proc: of the renderer that has worked most."""
    pids = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if b"--type=renderer" in read_bytes(path)]
    return max((Path("/proc", pid, "task", pid) for pid in pids), key=read_seconds)


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # the process has ended


def read_seconds(thread: Path) -> float:
    """Processor time of a thread."""
    fields = (thread / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def start_a_run(page: Any, url: str, folder: Path) -> None:
    """Print how long a run that is started in a terminal takes from its folder to its row."""
    text = folder.parent / "text.txt"
    text.write_text("Once upon a time a small cat and a big dog ran to the park.\n\n" * 2000)
    command = [sys.executable, "-m", "lmcraft"]
    data = str(folder.parent / "data")
    subprocess.run([*command, "prepare", str(text), "--out", data, "--vocab-size", "300"], check=True, capture_output=True)
    page.goto(f"{url}/runs#/runs")
    page.reload()
    page.wait_for_selector(".runs-table tbody tr")
    started = folder / "started"
    arguments = ["pretrain", data, "--out", str(started), "--depth", "1", "--max-steps", "10", "--batch-size", "8"]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (started / "lmcraft").exists():
        time.sleep(0.01)
    begun = time.perf_counter()
    page.wait_for_selector("tr[data-id=started]")
    print(
        f"\nA run that is started in a terminal is in the list {time.perf_counter() - begun:.2f} s after its folder exists."
    )
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "runs"
        for n in range(arguments.runs):
            write_run(folder / f"run-{n:03d}", arguments.steps)
        with serving("--runs", str(folder)) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-US", bypass_csp=True)
            page.set_default_timeout(TIMEOUT_MS)
            print(f"{cpu_name()}, Chromium {browser.version}, {arguments.runs} runs of {arguments.steps:,} steps\n")
            print("| until there are | time |\n|---|---|")
            open_comparison(page, url, arguments.runs)
            thread = find_main_thread()
            print("\n| in every frame | between frames, p50, ms | p95 | p99 | longest | processor time per frame, ms |")
            print("|---|---|---|---|---|---|")
            for name, gesture in GESTURES.items():
                measure(page, thread, name, gesture)
            start_a_run(page, url, folder)
            browser.close()


if __name__ == "__main__":
    main()
