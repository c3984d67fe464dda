"""The metrics and samples of a run: one JSON object per line, and optionally TensorBoard events."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder import write_text


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, without a last line that a crash truncated."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


class RunLog:
    """Appends to metrics.jsonl and samples.jsonl. Rows after `step` are dropped, since a resumed run writes them again.

    Raises:
        UserError: `tensorboard` is set, but TensorBoard is not installed.
    """

    def __init__(self, metrics: Path, samples: Path, *, step: int, tensorboard: Path | None) -> None:
        for path in (metrics, samples):
            kept = [row for row in read_jsonl(path) if row["step"] <= step]
            write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
        self._metrics, self._samples = metrics.open("a", encoding="utf-8"), samples.open("a", encoding="utf-8")
        self._writer = _summary_writer(tensorboard, step) if tensorboard else None

    def log(self, step: int, **values: float) -> None:
        """Write one row of metrics to the disk."""
        print(json.dumps({"step": step, **values}), file=self._metrics, flush=True)
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def sample(self, step: int, text: str) -> None:
        """Write one text that the model generated."""
        print(json.dumps({"step": step, "text": text}, ensure_ascii=False), file=self._samples, flush=True)

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
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("tensorboard=true needs TensorBoard: pip install 'lmcraft[tensorboard]'") from error
    return SummaryWriter(str(folder), purge_step=step)
