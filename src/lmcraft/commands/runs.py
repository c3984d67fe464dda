"""`lmcraft runs`: the runs of a folder as a table, once or live, or exported."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lmcraft.config import Config, command_config, takes_settings
from lmcraft.errors import UserError
from lmcraft.json_lines import format_json
from lmcraft.setting_values import expand_user
from lmcraft.terminal import column_table, format_bytes, format_count, format_duration, line_printer, print_result

if TYPE_CHECKING:
    from rich.table import Table

    from lmcraft.runs.index import RunIndex

DASH = "–"
ROUND_SECONDS = 1.0
# Of the table, with the width of terminal from which on each is shown.
COLUMNS = {
    "run": 0,
    "state": 0,
    "step": 0,
    "loss": 0,
    "validation": 60,
    "best": 130,
    "tokens/s": 110,
    "memory": 150,
    "energy": 100,
    "time left": 70,
}
LEFT = ("run", "state")
LONG_RUN = 100_000  # steps, from which on their number is shortened
STATES = ("running", "starting", "killed", "failed", "paused", "stopped", "finished")
"""In the order of the table: those that need attention first."""


@command_config
@dataclass(frozen=True)
class RunsConfig(Config):
    """Show the runs of a folder and of all folders below it, or export their curves."""

    folder: Path = Path()
    """Folder that holds the runs. [default: the current folder]"""

    _: KW_ONLY

    watch: bool = False
    """Keep the table up to date until Ctrl-C."""
    json: bool = False
    """Print JSON instead of a table."""
    export: Literal["", "tensorboard", "trackio"] = ""
    """Export the curves of all runs: as TensorBoard's event files, or to a project of trackio."""
    out: Path | None = None
    """Where to export to: a new folder for TensorBoard, or trackio's folder. [default: the one that trackio uses]"""
    project: str = ""
    """Project of trackio. [default: the folder's name]"""

    def resolved(self) -> RunsConfig:
        if self.export == "tensorboard" and self.out is None:
            raise UserError("export=tensorboard needs a folder to write to; set --out FOLDER")
        if self.out is not None and not self.export:
            raise UserError(f"out='{self.out}' is for exports; add --export tensorboard or --export trackio")
        if self.project and self.export != "trackio":
            raise UserError(f"project='{self.project}' is a project of trackio; add --export trackio")
        if self.watch and (self.json or self.export):
            raise UserError("watch=true shows the table only; leave out --json and --export")
        return self


@takes_settings(RunsConfig)
def runs_in(config: RunsConfig = RunsConfig()) -> list[dict[str, Any]]:
    """Print the runs of a folder as a table, or export them.

    Returns:
        The description of each run, as docs/runs.md lists it.

    Raises:
        UserError: there is no such folder, or the export is not possible.
    """
    from lmcraft.runs.index import RunIndex

    config = config.resolved()
    index = RunIndex(expand_user(config.folder))
    index.refresh()
    if config.export:
        _export(config, index)
    elif config.watch:
        _watch(index)
    described = describe_runs(index)
    if config.json:
        print(format_json(described, indent=2))
    elif not config.watch and not config.export:
        print_result(runs_table(described) if described else f"there are no runs in '{index.root}'")
    return described


def describe_runs(index: RunIndex) -> list[dict[str, Any]]:
    """The descriptions of all runs: by state, and the latest first."""
    described = [run.as_json() for run in index.runs()]
    return sorted(described, key=lambda run: (STATES.index(run["state"]), -(run["updated"] or 0), run["name"]))


def runs_table(described: list[dict[str, Any]], width: int = 0) -> Table:
    """A row for each run, with the columns that fit into a width; 0: that of the terminal."""
    from rich.console import Console

    width = width or Console().width
    shown = [n for n, least in enumerate(COLUMNS.values()) if width >= least]
    names, rows = [*COLUMNS], [_cells(run) for run in described]
    table = column_table("", [names[n] for n in shown], [[row[n] for n in shown] for row in rows])
    for column in table.columns:
        column.justify = "left" if column.header in LEFT else "right"
        column.no_wrap, column.overflow = column.header != "run", "fold"
    return table


def _cells(run: dict[str, Any]) -> tuple[str, ...]:
    best, energy, steps = run["best"], run["energy"], run["max_steps"]
    return (
        run["name"].replace("\n", "\\n"),
        run["state"],
        f"{run['step']:,}" + (f"/{format_count(steps) if steps >= LONG_RUN else f'{steps:,}'}" if steps else ""),
        _or_dash(run["loss"], ".4f"),
        _or_dash(run["validation_loss"], ".4f"),
        DASH if best is None else f"{best['validation_loss']:.4f} at {best['step']:,}",
        DASH if run["tokens_per_second"] is None else format_count(run["tokens_per_second"]),
        DASH if run["peak_memory"] is None else format_bytes(run["peak_memory"]),
        DASH if energy is None else _format_watt_hours(energy["joules"]),
        DASH if run["seconds_left"] is None else format_duration(run["seconds_left"]),
    )


def _or_dash(value: float | None, form: str) -> str:
    return DASH if value is None else format(value, form)


def _format_watt_hours(joules: float) -> str:
    return f"{joules / 3.6e6:,.3g} kWh" if joules >= 3.6e6 else f"{joules / 3600:,.3g} Wh"


def _watch(index: RunIndex) -> None:
    """Show the table, and again whenever something changes, until Ctrl-C; without a terminal, one table after the other."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False)
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        cursor = ""
        while True:
            if index.has_changed(cursor):
                cursor, table = index.cursor, runs_table(describe_runs(index))
                if console.is_terminal:
                    live.update(table, refresh=True)
                else:
                    print_result(table)
                    sys.stdout.flush()
            time.sleep(ROUND_SECONDS)
            index.refresh()
    if console.is_terminal:
        print_result(runs_table(describe_runs(index)))


def _export(config: RunsConfig, index: RunIndex) -> None:
    from lmcraft.runs.exports import export_tensorboard, export_trackio

    out = None if config.out is None else expand_user(config.out)
    if config.export == "tensorboard":
        assert out is not None, "resolved() has checked it"
        count = export_tensorboard(index, out)
        line_printer()(f"exported {count} runs; to see them: tensorboard --logdir {out}")
        return
    project = config.project or index.root.name
    count = export_trackio(index, project, out)
    folder = "" if out is None else f"TRACKIO_DIR={out} "
    line_printer()(f'exported {count} runs; to see them: {folder}trackio show --project "{project}"')
