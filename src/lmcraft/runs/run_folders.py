"""Finds the folders of runs below a folder, and looks again only where something has changed.

A run is a folder with a real subfolder `lmcraft` that holds a file of a run. Links are not followed, hidden folders are left
out, and nothing is sought inside a run. The search is bounded: by the depth, by the folders, and by the entries that are
read of one folder.
"""

import os
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from urllib.parse import quote_from_bytes

from lmcraft.folder.names import RUN, RUN_CONFIG

MAX_DEPTH = 8
MAX_FOLDERS = 50_000
MAX_ENTRIES = 100_000  # of one folder
MARKERS = (RUN_CONFIG, "status.json", "metrics.jsonl", "history.jsonl")
SETTLED_NANOSECONDS = (
    2 * 10**9
)  # a folder that changed within this time is read again: its time may not show a second change
MIN_REST_SECONDS, REST_FACTOR = 0.01, 10  # a folder that takes longer to read rests for so many times as long


@dataclass(slots=True)
class _Folder:
    """What was in a folder when it was last read."""

    modified: int = -1
    subfolders: tuple[str, ...] = ()
    has_marker_folder: bool = False
    is_cut: bool = False
    run: tuple[str, Path] | None = None
    """Id and path, if it is a run's."""
    rests_until: float = 0.0


@dataclass
class RunFolders:
    """The folders of runs below `root`."""

    root: Path
    is_cut: bool = False
    """Whether there are more folders than are looked at."""
    _folders: dict[str, _Folder] = field(default_factory=dict)

    def find(self) -> dict[str, Path]:
        """The folder of each run by its id."""
        runs: dict[str, Path] = {}
        seen: dict[str, _Folder] = {}
        self.is_cut = False
        pending = [("", 0)]
        while pending:
            relative, depth = pending.pop()
            if len(seen) >= MAX_FOLDERS:
                self.is_cut = True
                break
            path = os.path.join(self.root, relative) if relative else str(self.root)  # noqa: PTH118
            folder = self._look(relative, path)
            if folder is None:
                continue
            seen[relative] = folder
            self.is_cut |= folder.is_cut
            if folder.has_marker_folder and _is_run(path):
                folder.run = folder.run or (encode_id(relative), Path(path))
                runs[folder.run[0]] = folder.run[1]
            elif depth < MAX_DEPTH:
                prefix = relative + "/" if relative else ""
                pending.extend((prefix + name, depth + 1) for name in reversed(folder.subfolders) if name != RUN)
        self._folders = seen
        return runs

    def _look(self, relative: str, path: str) -> _Folder | None:
        """The folder, read again if it may have changed; None if it is gone or cannot be read."""
        folder = self._folders.get(relative)
        try:
            modified = os.stat(path, follow_symlinks=not relative).st_mtime_ns  # noqa: PTH116
            if folder is None:
                folder = _Folder()
            elif modified == folder.modified or time.monotonic() < folder.rests_until:
                return folder
            self._read(folder, path, modified)
        except OSError:
            return None
        return folder

    def _read(self, folder: _Folder, path: str, modified: int) -> None:
        begin = time.thread_time()
        subfolders = []
        folder.has_marker_folder = False
        with os.scandir(path) as entries:
            for entry in islice(entries, MAX_ENTRIES):
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    subfolders.append(entry.name)
                    folder.has_marker_folder |= entry.name == RUN
            folder.is_cut = next(entries, None) is not None
        is_settled = abs(time.time_ns() - modified) > SETTLED_NANOSECONDS
        folder.modified = modified if is_settled else -1
        folder.subfolders = tuple(sorted(subfolders))
        seconds = time.thread_time() - begin
        folder.rests_until = time.monotonic() + (seconds * REST_FACTOR if seconds > MIN_REST_SECONDS else 0.0)


def _is_run(path: str) -> bool:
    return any(os.path.lexists(f"{path}/{RUN}/{name}") for name in MARKERS)


def encode_id(relative: str) -> str:
    """A path as the id of its run: ASCII that needs no escape in an address. Other bytes become ~ and two digits; "~" alone
    is the folder itself."""
    quoted = quote_from_bytes(os.fsencode(relative), safe="").replace("~", "%7E").replace("%", "~")
    return quoted or "~"
