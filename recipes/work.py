"""What recipes share: the folder they work in, lmcraft's commands, packages from registries, and the table of figures."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from lmcraft.processor import cpu_name, instruction_sets

RESULTS = "results.json"


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

    def __init__(self, recipe: Path, folder: Path, *, short: bool = False) -> None:
        self.recipe, self.folder, self.short = recipe, folder.resolve(), short
        self.folder.mkdir(parents=True, exist_ok=True)
        self._start = time.monotonic()

    def lmcraft(self, *arguments: object, allow: Sequence[int] = (0,)) -> int:
        """Run a command of lmcraft in the work folder; an exit status that is not in `allow` ends the recipe with it."""
        words = [str(argument) for argument in arguments]
        print(f"\n$ lmcraft {' '.join(words)}", flush=True)
        status = subprocess.run([sys.executable, "-m", "lmcraft", *words], check=False, cwd=self.folder).returncode
        if status not in allow:
            sys.exit(status)
        return status

    def finish(self, figures: Sequence[Figure]) -> None:
        """Write the figures to results.json, and print them."""
        minutes = (time.monotonic() - self._start) / 60
        results = {
            "date": date.today().isoformat(),
            "processor": f"{cpu_name()} ({', '.join(instruction_sets())})",
            "minutes": round(minutes, 1),
            "figures": [asdict(figure) for figure in figures],
        }
        text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
        (self.folder / RESULTS).write_text(text, encoding="utf-8")
        print(f"\n{table(results)}\n\n{minutes:.1f} minutes; figures: {self.folder / RESULTS}")


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
    rows = ["| recipe | measure | baseline | recipe's result | minutes |", "|---|---|---|---|---|"]
    for file in sorted(recipes.glob(f"*/{RESULTS}")):
        results = json.loads(file.read_text(encoding="utf-8"))
        for row, line in enumerate(table(results).splitlines()[2:]):
            name = file.parent.name
            link, minutes = (f"[{name}]({name}/README.md)", f"{results['minutes']:g}") if row == 0 else ("", "")
            rows.append(f"| {link} {line} {minutes} |")
    return "\n".join(rows) + "\n"
