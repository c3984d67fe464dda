"""`lmcraft review status`: what waits for review, and how far the reviewers agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from lmcraft.commands.review import opened_store
from lmcraft.config import Config, command_config, takes_settings
from lmcraft.json_lines import format_json
from lmcraft.terminal import column_table, key_value_table, print_result

if TYPE_CHECKING:
    from rich.table import Table

DASH = "–"


@command_config
@dataclass(frozen=True)
class ReviewStatusConfig(Config):
    """Show what waits for review, who judged how much, how far they agree, and which rules are unclear."""

    store: str
    """The review store: a file, or postgresql://USER@HOST/NAME."""

    _: KW_ONLY

    guideline: str = ""
    """Only this guideline. [default: all]"""
    json: bool = False
    """Print JSON instead of tables."""


@takes_settings(ReviewStatusConfig)
def review_status(config: ReviewStatusConfig) -> list[dict[str, Any]]:
    """Print states, reviewers and agreement, guideline by guideline.

    Returns:
        Of each guideline: `guideline`, `counts` by state, `plan` (sentences about its sampling plan), and `agreement`, as
        `annotation/agreement/report.py` lists it.

    Raises:
        UserError: the store cannot be opened, or has no such guideline.
    """
    from lmcraft.annotation.agreement.report import agreement_report
    from lmcraft.annotation.guidelines.samples import describe_plan

    with opened_store(config.store) as store:
        names = [config.guideline] if config.guideline else [version.name for version in store.guidelines()]
        status = [
            {
                "guideline": name,
                "counts": store.counts(name),
                "plan": describe_plan(store, name),
                "agreement": agreement_report(store, name),
            }
            for name in names
        ]
    if config.json:
        print(format_json(status, indent=2))
    elif not status:
        print_result("the store has no guidelines: add one with `lmcraft review guideline STORE harm`")
    else:
        print_result(*(part for entry in status for part in _status_parts(entry)))
    return status


def _status_parts(status: dict[str, Any]) -> Iterator[Table | str]:
    """The tables of one guideline."""
    from lmcraft.annotation.agreement.report import describe_finding

    report = status["agreement"]
    counts = {name: f"{count:,}" for name, count in status["counts"].items() if count or name in ("pending", "total")}
    yield key_value_table(f"guideline {report['guideline']}, version {report['version']}", counts)
    yield from (f"- {line}" for line in status["plan"])
    if not report["votes"]:
        yield "no verdicts yet"
        return
    measures = {
        "same label": _percent(report["agreement"]),
        "Krippendorff's alpha": _decimal(report["krippendorff"]),
        "Cohen's kappa, mean of pairs": _decimal(report["cohen"]),
        "Fleiss' kappa": _decimal(report["fleiss"]),
    }
    yield key_value_table(f"agreement on {report['shared_items']:,} items with two verdicts or more", measures)
    columns = ("reviewer", "verdicts", "with others", "gold items", "reliability", "seconds")
    yield column_table("reviewers", columns, [_rater_row(rater) for rater in report["raters"]])
    rules = [(rule["id"], f"{rule['votes']:,}", _percent(rule["contradicted"])) for rule in report["rules"] if rule["votes"]]
    if rules:
        yield column_table("rules", ("rule", "cited", "contradicted"), rules)
    yield from (f"- {describe_finding(finding)}" for finding in report["findings"])


def _rater_row(rater: dict[str, Any]) -> tuple[str, ...]:
    gold, seconds = rater["gold"], rater["seconds"]
    return (
        rater["reviewer"],
        f"{rater['votes']:,}",
        _percent(rater["agreement"]),
        f"{gold['correct']:,} of {gold['judged']:,}" if gold["judged"] else DASH,
        _percent(rater["reliability"]),
        DASH if seconds is None else f"{seconds:.0f}",
    )


def _percent(metric: dict[str, Any] | None) -> str:
    """A share with its interval: 83% (71 to 91)."""
    if metric is None:
        return DASH
    interval = "" if metric["low"] is None else f" ({100 * metric['low']:.0f} to {100 * metric['high']:.0f})"
    return f"{100 * metric['value']:.0f}%{interval}"


def _decimal(metric: dict[str, Any] | None) -> str:
    """A coefficient with its interval: 0.71 (0.62 to 0.79)."""
    if metric is None:
        return DASH
    interval = "" if metric["low"] is None else f" ({metric['low']:.2f} to {metric['high']:.2f})"
    return f"{metric['value']:.2f}{interval}"
