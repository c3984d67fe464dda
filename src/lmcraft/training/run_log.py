"""The metrics and samples of a run: one JSON object per line, and optionally TensorBoard events."""

import math
from pathlib import Path
from typing import Any

from lmcraft.extras import import_optional
from lmcraft.folder import write_text
from lmcraft.json_lines import format_json_line, read_json_lines


class RunLog:
    """Appends to metrics.jsonl and samples.jsonl. Rows after `step` are dropped, since a resumed run writes them again.

    Raises:
        UserError: `tensorboard` is set, but TensorBoard is not installed.
    """

    def __init__(self, metrics: Path, samples: Path, *, step: int, tensorboard: Path | None) -> None:
        for path in (metrics, samples):
            kept = [row for row in read_json_lines(path) if row["step"] <= step]
            write_text(path, "".join(map(format_json_line, kept)))
        self._metrics, self._samples = metrics.open("a", encoding="utf-8"), samples.open("a", encoding="utf-8")
        self._writer = _summary_writer(tensorboard, step) if tensorboard else None

    def log(self, step: int, **values: float) -> None:
        """Write one row of metrics to the disk, without values that are not finite."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        print(format_json_line({"step": step, **finite}), end="", file=self._metrics, flush=True)
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def sample(self, step: int, text: str) -> None:
        """Write one text that the model generated."""
        print(format_json_line({"step": step, "text": text}), end="", file=self._samples, flush=True)

    def close(self) -> None:
        """Close the files."""
        self._metrics.close()
        self._samples.close()
        if self._writer is not None:
            self._writer.close()


class NullRunLog:
    """Writes nothing: for all processes of a run except the main one."""

    def log(self, step: int, **values: float) -> None: ...

    def sample(self, step: int, text: str) -> None: ...

    def close(self) -> None: ...


def _summary_writer(folder: Path, step: int) -> Any:
    tensorboard = import_optional("torch.utils.tensorboard", "tensorboard", "tensorboard=true")
    return tensorboard.SummaryWriter(str(folder), purge_step=step)
