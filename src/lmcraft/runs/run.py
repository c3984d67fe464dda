"""One run: reads what has been added to its files, and describes it."""

import os
import re
import secrets
import socket
import time
from calendar import timegm
from pathlib import Path
from typing import Any

from lmcraft.folder import ModelFolder
from lmcraft.folder.lock import LOCK_NAME, holder_of
from lmcraft.folder.names import FAMILY_CONFIG, FAMILY_RUNS
from lmcraft.runs.log_file import LogFile
from lmcraft.runs.metrics import Metrics
from lmcraft.runs.parameters import count_parameters
from lmcraft.runs.small_files import integer, number, plain_table, read_head, read_object, read_small, read_tail, text
from lmcraft.runs.states import ALIVE, State, state_of

RESUME_LOG = "resume.log"
TAIL_BYTES = 16 * 2**10
IDLE_SECONDS = 60.0
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
COMMANDS = ("pretrain", "finetune")
FIGURES = ("loss", "validation_loss", "tokens", "seconds", "peak_memory", "joules")
"""Whose latest value the description has."""
STATES_THAT_SAY_ALL: tuple[State, ...] = ("running", "starting", "paused", "stopped")
"""No message of the run is shown with these: somebody meant it to be so, or it goes on."""
WHOLE = ("tokens", "peak_memory")
_SETTING = re.compile(rb'^(max_steps|depth|out|model) = (?:"((?:[^"\\]|\\.)*)"|(\d{1,15}$))', re.MULTILINE)
_RESUMED = re.compile(rb"^\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\] resumed", re.MULTILINE)
Json = dict[str, Any]


class Run:
    """What is known of a run.

    Args:
        id: of the run.
        path: of its folder.
        root: the folder of all runs.
    """

    def __init__(self, id: str, path: Path, root: Path) -> None:
        self.id, self.folder = id, ModelFolder(path)
        relative = path.relative_to(root).as_posix()
        self.name = os.fsencode(path.name if relative == "." else relative).decode("utf-8", "replace")
        self.metrics: Metrics | None = None
        """None: not read, or dropped to save memory."""
        self.revision = secrets.randbits(32)
        """Changes when rows that were read no longer count."""
        self.version = 0
        """Of the index when the description changed last."""
        self.last_used = self._last_changed = time.monotonic()
        self.is_being_read = False
        """Whether only the beginning of the log is in `metrics` so far."""
        self._log = LogFile(self.folder.metrics)
        self._figures: Json = {}
        self._stamps: Json = {}
        self._status: Json = {}
        self._energy: Json = {}
        self._facts: Json = {}
        self._logged_best: tuple[int, float] | None = None
        self._command, self._max_steps = "", 0
        self._folder_stamp: Any = None
        files = ("run.toml", "status.json", "energy.json", "metrics.jsonl", "history.jsonl", "checkpoints", RESUME_LOG)
        self._files = {name: f"{self.folder.run}{os.sep}{name}" for name in files}
        self._files[LOCK_NAME] = f"{path}{os.sep}{LOCK_NAME}"
        self._folders = str(path), str(self.folder.run)
        self._place = _place(path, root)
        self.state: State = "stopped"
        self.is_locked = self.is_resuming = False
        self._holder: int | None = None

    # What has changed

    def is_idle(self) -> bool:
        """Whether only the times of its folders are looked at."""
        return not self.is_locked and not self.is_resuming and time.monotonic() - self._last_changed > IDLE_SECONDS

    def is_touched(self) -> bool:
        """Whether a file of the folder was created, replaced or removed."""
        return bool(self._folder_stamp != self._stamp_folders())

    def _stamp_folders(self) -> Any:
        return [_stamp(folder) for folder in self._folders]

    def refresh(self) -> bool:
        """Look at all files but the contents of the log; returns whether something has changed."""
        self._folder_stamp = self._stamp_folders()
        stamps = {name: _stamp(file) for name, file in self._files.items()}
        holder = None if stamps[LOCK_NAME] is None else holder_of(self.folder.path)
        is_resuming = stamps[RESUME_LOG] is not None and holder_of(self.folder.run, RESUME_LOG) is not None
        locks = holder, is_resuming
        has_changed = stamps != self._stamps or locks != (self._holder, self.is_resuming)
        state = self.state
        if has_changed:
            changed = {name for name in stamps if stamps[name] != self._stamps.get(name, 0)}
            is_new = not self._stamps
            self._stamps, (self._holder, self.is_resuming), self.is_locked = stamps, locks, holder is not None
            self._read_files(changed)
            now = time.monotonic()
            self._last_changed = now - IDLE_SECONDS if is_new and not self._is_recent() else now
        if has_changed or state in ALIVE:  # elsewhere, it may have ended without a change
            self._settle_state()
        return has_changed or self.state != state

    def _is_recent(self) -> bool:
        """Whether a file of the run has changed lately, by the clock."""
        return abs(time.time() - (self._updated() or 0.0)) <= IDLE_SECONDS

    def _read_files(self, changed: set[str]) -> None:
        if "run.toml" in changed:
            settings = {key: a or b for key, a, b in reversed(_SETTING.findall(read_small(self.folder.config_toml)))}
            self._max_steps = int(settings.get(b"max_steps", b"0"))
            self._command = "pretrain" if b"depth" in settings else "finetune" if settings else ""
        if "status.json" in changed:
            self._status = read_object(self.folder.run / "status.json")
        if "energy.json" in changed:
            total = read_object(self.folder.run / "energy.json").get("total")
            self._energy = total if isinstance(total, dict) else {}
        if "history.jsonl" in changed:
            self._facts["created"] = _first_time(read_head(self.folder.history, TAIL_BYTES))
        if {"checkpoints", "status.json"} & changed or "parameters" not in self._facts:
            self._facts["checkpoint"], self._facts["best"] = _latest_checkpoint(self.folder.checkpoints)
            if self._facts.get("parameters") is None:
                self._facts["parameters"] = integer(self._status.get("parameters")) or count_parameters(self.folder)

    def _settle_state(self) -> None:
        self.state = state_of(
            is_locked=self.is_locked or self.is_resuming,
            is_starting=self._is_starting(),
            is_alive_elsewhere=not self._is_here() and self._is_recent(),
            has_lock_file=self._stamps[LOCK_NAME] is not None,
            status=self._status,
            step=self.step,
            max_steps=self.max_steps,
        )

    def _is_starting(self) -> bool:
        """Whether the process that holds or awaits the run's lock has not written its status yet."""
        if not self._holder:  # 0: not known
            return self._holder is None and self.is_resuming
        writer = integer(self._status.get("pid"))
        return writer not in (None, self._holder) and self._is_here()

    # The log

    def follow_log(self) -> bool:
        """Take the latest figures from the log: from all that is new in it if its columns are in memory, else from its end.

        Returns:
            Whether the best loss and the latest validation are known; if not, `read_log` finds them.
        """
        if self.metrics is not None:
            if not self.is_being_read:
                self.read_whole_log()
            return True
        end = Metrics()
        tail = read_tail(self.folder.metrics, TAIL_BYTES)
        end.add_lines(tail.split(b"\n")[len(tail) == TAIL_BYTES : -1])
        self._take_figures(end)
        return len(tail) < TAIL_BYTES or (self._best is not None and self._figures["validation_loss"] is not None)

    def read_log(self) -> bool:
        """Read the next part of the log; returns whether there is more."""
        if self.metrics is None:
            self.revision += self._log.is_replaced()
            self.metrics, self._log = Metrics(), LogFile(self.folder.metrics)
        replaced, lines = self._log.read()
        if replaced:
            self.metrics = Metrics()
        rewound = self.metrics.add_lines(lines)
        self.revision += replaced or rewound
        self.is_being_read = self._log.has_more
        if not self.is_being_read:
            self._take_figures(self.metrics)
        return self.is_being_read

    def read_whole_log(self) -> Metrics:
        """All metrics as of now."""
        while (self.metrics is None or self._log.has_changed()) and self.read_log():
            pass
        assert self.metrics is not None
        return self.metrics

    def drop_metrics(self) -> None:
        """Free the memory of the columns; they are read again when they are needed."""
        self.metrics, self.is_being_read = None, False

    @property
    def num_bytes(self) -> int:
        """Of memory that the columns take."""
        return 0 if self.metrics is None else self.metrics.num_bytes

    def _take_figures(self, metrics: Metrics) -> None:
        latest = {name: _whole(metrics.latest(name)) if name in WHOLE else metrics.latest(name) for name in FIGURES}
        latest |= {"tokens_per_second": metrics.recent_median("tokens_per_second")}
        self._figures |= {name: value for name, value in latest.items() if value is not None or name not in self._figures}
        self._figures |= {"step": max(0, metrics.last_step), "damaged": metrics.damaged_lines}
        self._logged_best = metrics.lowest("validation_loss")
        self._settle_state()

    @property
    def _best(self) -> tuple[int, float] | None:
        """Step and loss of the lowest validation loss, of the log or of the latest checkpoint."""
        return _lower(self._facts.get("best"), self._logged_best)

    # The description

    @property
    def step(self) -> int:
        """The last step."""
        return max(integer(self._status.get("step")) or 0, int(self._figures.get("step", 0)))

    @property
    def max_steps(self) -> int:
        """How many steps the run has; 0: unknown."""
        recorded = integer(self._status.get("max_steps")) or 0
        return recorded if recorded > 0 else self._max_steps

    @property
    def command(self) -> str:
        """The command that runs it; empty: unknown."""
        recorded = self._status.get("command")
        return recorded if recorded in COMMANDS else self._command

    @property
    def working_folder(self) -> str:
        """Where its command was started, as far as is recorded."""
        return text(self._status.get("cwd"))

    @property
    def is_part(self) -> bool:
        """Whether another command, such as a search, runs it."""
        return bool(self._place)

    @property
    def host(self) -> str:
        """The name of the machine that ran it last; empty: unknown."""
        return text(self._status.get("host"))

    @property
    def is_resumable(self) -> bool:
        """Whether it has a checkpoint, and steps left."""
        return bool(self._facts.get("checkpoint")) and self.state != "finished" and bool(self.command)

    def as_json(self) -> Json:
        """The description, as the list of runs has it."""
        kind, parent = self._place or (self.command, None)
        figures = {name: self._figures.get(name) for name in (*FIGURES[:-1], "tokens_per_second")}
        if self.state == "starting":
            figures["tokens_per_second"] = None  # of the process before
        return {
            "id": self.id,
            "name": self.name,
            "kind": kind,
            "state": self.state,
            "command": self.command,
            "created": self._created(),
            "updated": self._updated(),
            "step": self.step,
            "max_steps": self.max_steps or None,
            **figures,
            "best": None if self._best is None else {"step": self._best[0], "validation_loss": self._best[1]},
            "energy": self._describe_energy(),
            "emissions": plain_table(self._energy.get("emissions")),
            "seconds_left": self._seconds_left(),
            "budget": self._describe_budget(),
            "parameters": self._facts.get("parameters"),
            "host": self.host,
            "message": self._message(),
            "parent": parent,
            "revision": self.revision,
            "can_stop": self.is_locked and not self.is_part and self._is_here(),
            "can_resume": self.state not in ALIVE and not self.is_part and self.is_resumable,
        }

    def _is_here(self) -> bool:
        return self.host in ("", socket.gethostname())

    def _created(self) -> float | None:
        stamp = self._stamps.get("run.toml") or _stamp(self.folder.run)
        return self._facts.get("created") or (stamp[1] / 1e9 if stamp else None)

    def _updated(self) -> float | None:
        stamps = [self._stamps.get(name) for name in ("metrics.jsonl", "status.json", "run.toml")]
        return max((stamp[1] / 1e9 for stamp in stamps if stamp), default=None)

    def _seconds_left(self) -> float | None:
        if self.state != "running":
            return None
        if (left := number(self._status.get("seconds_left"))) is not None:
            return left
        step, seconds = self._figures.get("step", 0), self._figures.get("seconds")
        return seconds / step * max(0, self.max_steps - step) if step and seconds and self.max_steps else None

    def _describe_energy(self) -> Json | None:
        """The energy of all starts: as energy.json has it, and what the log has added since."""
        recorded = self._energy.get("energy")
        values = {**self._energy, **(recorded if isinstance(recorded, dict) else {})}
        joules, logged = number(values.get("joules")), self._figures.get("joules")
        if joules is None:
            return None if logged is None else {"joules": logged, "low": None, "high": None, "method": ""}
        scale = max(1.0, logged / joules) if logged and joules else 1.0
        low, high = (None if (end := number(values.get(name))) is None else end * scale for name in ("low", "high"))
        return {"joules": joules * scale, "low": low, "high": high, "method": text(values.get("method"))}

    def _describe_budget(self) -> Json | None:
        """What the run may use of time and energy, and what it has used."""
        budget = self._status.get("budget")
        kinds = budget if isinstance(budget, dict) else {}
        return {name: table for name in ("time", "energy") if (table := plain_table(kinds.get(name)))} or None

    def _message(self) -> str:
        """Why a resume failed, or how the run ended where its state alone does not tell."""
        if not self.is_locked and not self.is_resuming and (line := self._failed_resume()):
            return line
        if self.state not in STATES_THAT_SAY_ALL and (message := text(self._status.get("message"))):
            return message
        damaged = self._figures.get("damaged", 0)
        return f"{damaged} damaged lines of metrics.jsonl are left out" if damaged else ""

    def _failed_resume(self) -> str:
        """The last line of a resume that ended before the run went on; empty: there was none, or it was stopped."""
        if not (log := self._stamps.get(RESUME_LOG)):
            return ""
        tail = read_tail(self.folder.run / RESUME_LOG, TAIL_BYTES)
        starts = list(_RESUMED.finditer(tail))
        history = self._stamps.get("history.jsonl")
        begin = _parse_time(starts[-1][1].decode()) if starts else log[1] / 1e9
        is_stopped = self.state == "stopped" and (number(self._status.get("updated")) or 0.0) >= (begin or 0.0)
        if is_stopped or (history and history[1] / 1e9 >= (begin or 0.0)):
            return ""
        lines = tail[starts[-1].end() if starts else 0 :].decode("utf-8", "replace").split("\n")[1:]
        return text(next((line.strip() for line in reversed(lines) if line.strip()), ""))


def _place(path: Path, root: Path) -> tuple[str, str] | None:
    """The kind of a run that another command starts, and the name of that command's folder; None: it stands alone."""
    parents = path.relative_to(root).parts if path != root else ()
    if len(parents) >= 2 and parents[-2] == FAMILY_RUNS and (path.parent.parent / FAMILY_CONFIG).is_file():
        return "scaling member", "/".join(parents[:-2])
    if len(parents) >= 3 and parents[-3] == "trials" and parents[-2].isdigit():
        return "trial", "/".join(parents[:-3])
    return None


def _stamp(path: str | Path) -> tuple[int, int, int] | None:
    """What changes whenever a file does; None if it is not there."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _latest_checkpoint(folder: Path) -> tuple[str, tuple[int, float] | None]:
    """The name of the last checkpoint ("": there is none), with step and loss of the best weights until then."""
    try:
        with os.scandir(folder) as entries:
            name = max((entry.name for entry in entries if entry.name.startswith("step-")), default="")
    except OSError:
        return "", None
    progress = read_object(folder / name / "progress.json") if name else {}
    step, loss = integer(progress.get("best_step")), number(progress.get("best_loss"))
    return name, (step, loss) if step is not None and step >= 0 and loss is not None else None


def _lower(first: tuple[int, float] | None, second: tuple[int, float] | None) -> tuple[int, float] | None:
    """The one with the lower loss; of equal ones, that of the earlier step."""
    candidates = [best for best in (first, second) if best is not None]
    return min(candidates, key=lambda best: (best[1], best[0]), default=None)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _first_time(head: bytes) -> float | None:
    match = re.search(rb'"time": "([^"]{20})"', head)
    return None if match is None else _parse_time(match[1].decode("ascii", "replace"))


def _parse_time(value: str) -> float | None:
    try:
        return float(timegm(time.strptime(value, TIME_FORMAT)))
    except ValueError:
        return None
