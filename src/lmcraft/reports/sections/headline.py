"""The facts at the top of a report, and what a reader must know before any of them."""

import re
from collections.abc import Iterator
from html import escape

from lmcraft.reports.axis import format_alike, shorten
from lmcraft.reports.evidence import Evidence, Figure, Training
from lmcraft.reports.language import enumerate_texts, page_language, say
from lmcraft.reports.sections.curves import points_of
from lmcraft.reports.sections.energy import say_region
from lmcraft.reports.sections.quantities import (
    numeric,
    say_emission_ends,
    say_emissions,
    say_energy,
    say_energy_ends,
    say_number,
)
from lmcraft.terminal import format_bytes, format_count

MAX_TASKS = 2  # at the top
MAX_LARGE = 16  # characters in large type

Fact = tuple[str, str, str]
"""What it is, the number, and what belongs to it."""


def subtitle(evidence: Evidence) -> str:
    """What kind of model it is, and where it comes from."""
    kinds = {
        "text-generation": say("language model"),
        "text-classification": say("classifier"),
        "reward": say("reward model"),
    }
    parts = [kinds[evidence.kind]]
    if evidence.is_adapter:
        parts.append(say("adapter"))
    if evidence.training is not None:
        parts.append(say("pretrained") if evidence.training.command == "pretrain" else say("fine-tuned"))
    if evidence.quantization is not None:
        parts.append(say("quantized to {bits} bits", bits=evidence.quantization.bits))
    if evidence.address and not evidence.address.startswith(("/", "~", ".")) and "\\" not in evidence.address:
        parts.append(say("from {address}", address=evidence.address))
    if evidence.created:
        parts.append(evidence.created[:10])
    return " · ".join(parts)


def warnings(evidence: Evidence, *, is_alive: bool) -> str:
    """What is wrong with the run or its files.

    Args:
        evidence: of the folder.
        is_alive: whether a process holds the lock of the folder; a run that was killed cannot say that it has ended.
    """
    states = {
        "running": say("The run is still going on; this page shows it as it was when the page was written."),
        "paused": say("The run is paused; --resume continues it."),
        "stopped": say("The run was stopped before its end; --resume continues it."),
        "killed": say("The run was killed; --resume continues it from its last checkpoint."),
        "failed": say("The run failed; --resume continues it from its last checkpoint."),
    }
    state = evidence.training.state if evidence.training is not None else ""
    if state == "running" and not is_alive:
        state = "killed"
    parts = [f'<p class="warning">{escape(states[state])}</p>'] if state in states else []
    if evidence.training is not None and not evidence.training.rows:
        sentence = say("The run has no steps yet, or its metrics.jsonl is missing.")
        parts.append(f'<p class="warning">{escape(sentence)}</p>')
    if evidence.damaged:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in evidence.damaged)
        parts.append(f'<div class="warning"><p>{say("Some files could not be read:")}</p><ul>{items}</ul></div>')
    return "".join(parts)


def facts(evidence: Evidence) -> str:
    """The facts as the items of a description list."""
    return "".join(
        f'<div><dt>{escape(name)}</dt><dd class="{"number" if len(value) <= MAX_LARGE else "text"}">{escape(value)}</dd>'
        + (f'<dd class="detail">{escape(detail)}</dd>' if detail else "")
        + "</div>"
        for name, value, detail in _facts(evidence)
    )


def _facts(evidence: Evidence) -> Iterator[Fact]:
    if evidence.architecture is not None and (count := numeric(evidence.architecture.parameters)) is not None:
        yield say("parameters"), format_count(count), ""
    if evidence.training is not None:
        yield from _run_facts(evidence.training)
    for result in evidence.evaluations[:MAX_TASKS]:
        main = result.figures[0]
        value, ends = _value_and_ends(main)
        yield shorten(result.task), value, enumerate_texts((main.name, ends))
    if (use := evidence.energy) is not None and (joules := numeric(use.energy)) is not None:
        yield say("energy"), say_energy(joules), say_energy_ends(use.energy.low, use.energy.high)
        if use.emissions is not None and (grams := numeric(use.emissions)) is not None:
            ends = say_emission_ends(use.emissions.low, use.emissions.high)
            yield say("emissions"), say_emissions(grams), enumerate_texts((ends, say_region(use.region), use.year))
    if evidence.license:
        yield say("license"), shorten(evidence.license), ""
    if evidence.parents:
        parent = evidence.parents[0]
        yield (
            say("made from"),
            shorten(parent.address.rstrip("/").rpartition("/")[2] or parent.sha256[:12]),
            shorten(say(parent.role)),
        )


def _say_machine(machine: str) -> str:
    """The hardware in the language of the page."""
    return re.sub(r", (\d+) cores?$", r"，\1 核", machine) if page_language() == "zh-Hans" else machine


def _run_facts(training: Training) -> Iterator[Fact]:
    figures = training.figures
    if (loss := numeric(figures.get("validation_loss"))) is not None:
        details = [say("nats per token")]
        if "best_step" in figures:
            details.append(say("step {step}", step=say_number(figures["best_step"].value)))
        if (bits := numeric(figures.get("bits_per_byte"))) is not None:
            details.append(say("{bits} bits per byte", bits=f"{bits:.3f}"))
        yield say("best validation loss"), f"{loss:.4f}", enumerate_texts(details)
    if (tokens := numeric(figures.get("tokens"))) is not None:
        yield say("tokens"), format_count(tokens), _steps(figures.get("steps"))
    if (seconds := numeric(figures.get("seconds"))) is not None:
        starts = say("{n} starts", n=training.starts) if training.starts > 1 else ""
        yield say("training time"), say_duration(seconds), enumerate_texts((starts, _say_machine(training.machine)))
    if (rate := numeric(figures.get("tokens_per_second"))) is not None:
        shares = [share for _, share in points_of(training.rows, "share_of_peak")]
        detail = say("{share} of the peak", share=f"{sum(shares) / len(shares):.0%}") if shares else ""
        yield say("speed"), f"{rate:,.0f}", enumerate_texts((say("tokens per second"), detail))
    if (size := numeric(figures.get("peak_memory"))) is not None:
        yield say("peak memory"), format_bytes(int(size)), ""


def _steps(figure: Figure | None) -> str:
    return "" if figure is None else say("{n} steps", n=say_number(figure.value))


def _value_and_ends(figure: Figure) -> tuple[str, str]:
    """A figure, and its interval if it has one."""
    value = numeric(figure)
    if value is None or figure.low is None or figure.high is None:
        return say_number(figure.value, 3), ""
    shown, low, high = format_alike(value, figure.low, figure.high)
    return shown, say("{low} to {high}", low=low, high=high)


def say_duration(seconds: float) -> str:
    """A duration in the language of the page."""
    if seconds < 120:
        return say("{seconds} s", seconds=f"{seconds:.0f}")
    if seconds < 2 * 3600:
        return say("{minutes} min", minutes=f"{seconds / 60:.1f}")
    return (
        say("{hours} h", hours=f"{seconds / 3600:.1f}")
        if seconds < 48 * 3600
        else say("{days} days", days=f"{seconds / 86400:.1f}")
    )
