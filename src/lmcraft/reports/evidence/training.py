"""The run of a model folder: settings, curve, samples, and what fine-tuning changed."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from lmcraft.folder.names import RUN, RUN_CONFIG
from lmcraft.reports.evidence.figure import Figure, Record, Records, number, text
from lmcraft.reports.evidence.record import Change, Training

METRICS, SAMPLES, HISTORY = f"{RUN}/metrics.jsonl", f"{RUN}/samples.jsonl", f"{RUN}/history.jsonl"
CONFIG, STATUS, TUNING = f"{RUN}/{RUN_CONFIG}", f"{RUN}/status.json", f"{RUN}/evaluation.json"


def read_training(records: Records) -> Training | None:
    """The run; None if the folder has none."""
    config, metrics = records.toml(CONFIG), records.json_lines(METRICS)
    if config is None and metrics is None:
        return None
    settings: Mapping[str, Any] = config.object() if config else {}
    history, status, samples = records.json_lines(HISTORY), records.json(STATUS), records.json_lines(SAMPLES)
    return Training(
        command="finetune" if "method" in settings else "pretrain",
        objective=text(settings.get("objective")),
        settings=settings,
        settings_file=CONFIG,
        starts=len(history.array()) if history else 0,
        state=text(status.get("state")) if status else "",
        rows=_rows(metrics),
        samples=_rows(samples),
        figures={} if metrics is None else _figures(metrics),
        machine=text(status.get("machine")) if status else "",
    )


def _rows(record: Record | None) -> list[Mapping[str, Any]]:
    return [row for row in (record.array() if record else []) if isinstance(row, dict) and isinstance(row.get("step"), int)]


def _figures(metrics: Record) -> dict[str, Figure]:
    """The figures of the last step, and of the weights that were kept: those of the lowest validation loss."""
    rows: Sequence[Any] = metrics.array()
    steps = _having(rows, "tokens")  # a private run does not log its loss
    measured = _having(rows, "validation_loss")
    figures: dict[str, Figure | None] = {}

    def at(key: str, name: str, index: int, field: str) -> None:
        figures[key] = metrics.figure(f"training.{key}", name, index, field)

    if steps:
        at("steps", "steps", steps[-1], "step")
        at("tokens", "tokens read", steps[-1], "tokens")
        at("seconds", "seconds", steps[-1], "seconds")
        at("loss", "training loss at the last step, nats per token", steps[-1], "loss")
        figures |= _computed(metrics, [rows[index] for index in steps])
    if measured:
        best = min(measured, key=lambda index: rows[index]["validation_loss"])
        at("validation_loss", "lowest validation loss, nats per token", best, "validation_loss")
        at("best_step", "step of the weights that were kept", best, "step")
        at("bits_per_byte", "bits per byte of the validation text", best, "bits_per_byte")
    return {key: figure for key, figure in figures.items() if figure is not None}


def _having(rows: Sequence[Any], key: str) -> list[int]:
    return [index for index, row in enumerate(rows) if isinstance(row, dict) and number(row.get(key)) is not None]


def _computed(metrics: Record, rows: Sequence[Mapping[str, Any]]) -> dict[str, Figure]:
    figures = {}
    for key, name, compute in (
        ("tokens_per_second", "tokens per second, median of the steps", median),
        ("peak_memory", "bytes of memory at most", max),
    ):
        values = [value for row in rows if (value := number(row.get(key))) is not None]
        if values:
            figures[key] = metrics.computed(f"training.{key}", name, compute(values))
    return figures


def read_tuning(records: Records) -> list[Change]:
    """What fine-tuning changed on held-out data, and in the perplexity of general text."""
    record = records.json(TUNING)
    if record is None:
        return []
    changes = [_change(record, name, ("metrics", name)) for name in record.object("metrics")]
    if record.object("general"):
        changes.append(_change(record, f"perplexity of general text ({text(record.get('general', 'text'))})", ("general",)))
    return [change for change in changes if change.after is not None]


def _change(record: Record, name: str, path: tuple[str, ...]) -> Change:
    before, after = (
        record.metric(f"tuning.{'.'.join(path)}.{time}", f"{name} {time}", *path, time) for time in ("before", "after")
    )
    return Change(name, before, after)
