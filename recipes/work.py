"""What recipes share: the folder they work in, lmcraft's commands, packages from registries, and the table of figures."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from lmcraft.folder import write_text
from lmcraft.processor import cpu_name, instruction_sets

RESULTS = "results.json"
OPTIONS = "recipe.json"
INTERRUPTED = 130  # exit status


@dataclass(frozen=True)
class Figure:
    """One row of the table: a measure of the recipe's result beside the same measure of a baseline.

    `interval` is the 95% confidence interval of `result`; `baseline_name` says what the baseline is, in a few words.
    """

    measure: str
    baseline_name: str
    baseline: float | str
    result: float | str
    interval: tuple[float, float] | None = None


class Work:
    """A run of one recipe: `recipe` is the recipe's own folder, `folder` the one that everything it makes goes into."""

    def __init__(
        self, recipe: Path, folder: Path, *, short: bool = False, options: Mapping[str, object] | None = None
    ) -> None:
        self.recipe, self.folder, self.short = recipe, folder.resolve(), short
        chosen = {name: str(value) for name, value in (options or {}).items()}
        self._options = {"recipe": recipe.name, "short": short} | chosen
        self._earlier = self._claim()
        self._start = time.monotonic()
        self._note_time()

    def _claim(self) -> tuple[float, float]:
        """Refuse a folder that holds other things, or what other options made; the seconds of earlier starts."""
        file = self.folder / OPTIONS
        if self.folder.is_file():
            sys.exit(f"{self.folder} is a file: choose another WORK")
        if not file.is_file():
            if self.folder.exists() and any(self.folder.iterdir()):
                sys.exit(f"{self.folder} holds files that no recipe wrote: choose a new folder for WORK")
            self.folder.mkdir(parents=True, exist_ok=True)
            return 0.0, 0.0
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            options, seconds = record["options"], (float(record["seconds"]), float(record["processor_seconds"]))
        except (ValueError, KeyError, TypeError):
            sys.exit(f"{file} is damaged: remove {self.folder}, or choose another WORK")
        if options != self._options:
            sys.exit(f"{self.folder} was made with {_say(options)}, not {_say(self._options)}: choose another WORK")
        return seconds

    def _note_time(self) -> tuple[float, float]:
        """The seconds, and those of processor time, of all starts up to now, which recipe.json keeps."""
        seconds, processor_seconds = self._earlier
        seconds, processor_seconds = seconds + time.monotonic() - self._start, processor_seconds + sum(os.times()[:4])
        record = {"options": self._options, "seconds": seconds, "processor_seconds": processor_seconds}
        write_text(self.folder / OPTIONS, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        return seconds, processor_seconds

    def lmcraft(self, *arguments: object, allow: Sequence[int] = (0,)) -> int:
        """Run a command of lmcraft in the work folder; an exit status that is not in `allow` ends the recipe with it."""
        words = [str(argument) for argument in arguments]
        print(f"\n$ lmcraft {' '.join(words)}", flush=True)
        with subprocess.Popen([sys.executable, "-m", "lmcraft", *words], cwd=self.folder) as process:
            try:
                status = process.wait()
            except KeyboardInterrupt:  # which the command got, too: it saves its run first
                status = process.wait() or INTERRUPTED
                self._note_time()
                sys.exit(status)
        self._note_time()
        if status not in allow:
            sys.exit(status)
        return status

    def train(self, command: str, settings: str, out: str, *arguments: object) -> Path:
        """Run pretrain or finetune with a settings file of the recipe, unless it is done; an interrupted run goes on.

        Returns:
            The model's folder.
        """
        folder = self.folder / out
        state = self._state(folder)
        checkpoints = folder / "lmcraft" / "checkpoints"
        if state != "finished":
            resume = ["--resume"] if checkpoints.is_dir() and any(checkpoints.iterdir()) else []
            if state and not resume:  # a run that was interrupted before its first checkpoint
                shutil.rmtree(folder)
            self.lmcraft(command, self.recipe / settings, *arguments, "--out", out, *resume)
        return folder

    def _state(self, folder: Path) -> str:
        """What a run wrote about itself last; empty if there is no run."""
        try:
            return str(json.loads((folder / "lmcraft" / "status.json").read_text(encoding="utf-8"))["state"])
        except (OSError, ValueError, KeyError):
            return "damaged" if (folder / "lmcraft").is_dir() else ""

    def finish(self, figures: Sequence[Figure]) -> None:
        """Write the figures to results.json, and print them."""
        minutes, processor_minutes = (seconds / 60 for seconds in self._note_time())
        results = {
            "date": date.today().isoformat(),
            "processor": f"{cpu_name()} ({', '.join(instruction_sets())})",
            "minutes": round(minutes, 1),
            "processor_minutes": round(processor_minutes, 1),
            "figures": [asdict(figure) for figure in figures],
        }
        text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
        (self.folder / RESULTS).write_text(text, encoding="utf-8")
        spent = f"{minutes:.1f} minutes, {processor_minutes:.1f} of processor time"
        print(f"\n{table(results)}\n\n{spent}; figures: {self.folder / RESULTS}")


def _say(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


def table(results: Mapping[str, Any]) -> str:
    """A Markdown table of the figures in results.json."""
    rows = ["| measure | baseline | this recipe |", "|---|---|---|"]
    for figure in results["figures"]:
        interval = "" if figure["interval"] is None else f" ({' to '.join(map(number, figure['interval']))})"
        baseline = f"{figure['baseline_name']}: {number(figure['baseline'])}"
        rows.append(f"| {figure['measure']} | {baseline} | **{number(figure['result'])}**{interval} |")
    return "\n".join(rows)


def number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def results_table(recipes: Path) -> str:
    """The table of recipes/README.md: the figures of each recipe's last committed run."""
    rows = ["| recipe | measure | baseline | recipe's result | minutes (of processor time) |", "|---|---|---|---|---|"]
    for file in sorted(recipes.glob(f"*/{RESULTS}")):
        results = json.loads(file.read_text(encoding="utf-8"))
        for row, line in enumerate(table(results).splitlines()[2:]):
            name = file.parent.name
            processor_minutes = results.get("processor_minutes")
            minutes = f"{results['minutes']:g}" + ("" if processor_minutes is None else f" ({processor_minutes:g})")
            link, minutes = (f"[{name}]({name}/README.md)", minutes) if row == 0 else ("", "")
            rows.append(f"| {link} {line} {minutes} |")
    return "\n".join(rows) + "\n"
