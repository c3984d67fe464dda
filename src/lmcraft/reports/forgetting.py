"""The page of a forgetting, and its tables for the terminal."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from lmcraft.audits.privacy.results import Statement
from lmcraft.folder import ModelFolder, write_text
from lmcraft.reports.chart import COLORS, Series, line_chart
from lmcraft.reports.language import say
from lmcraft.reports.table import html_table, say_metric
from lmcraft.reports.template import fill_bilingual
from lmcraft.terminal import column_table, format_duration
from lmcraft.unlearning.results import Forgetting, Membership, ModelName

if TYPE_CHECKING:
    from rich.console import RenderableType

Table = tuple[list[str], list[list[str]]]

PAGE = "forgetting.html"
MAX_ROWS = 50  # texts on the page
MODELS: tuple[ModelName, ...] = get_args(ModelName)
TESTS = {
    "membership": "Attacks cannot tell the unlearned model from the retrained one by the texts",
    "relearning": "The texts are learned again no faster than by a model that never read them",
    "probes": "Questions about the texts are answered no better than by a model that never read them",
    "exposure": "Numbers in the texts are no likelier than other numbers",
}
UNREAD = "No step of the new run reads a token of them"
METHODS = {
    "retrain": "Exact: the run was repeated without the texts, in {steps} steps and {time}.",
    "approximate": (
        "Approximate: the weights were changed in {steps} steps and {time}, until the texts were as unlikely as unread ones."
    ),
}


def write_forgetting(folder: ModelFolder, result: Forgetting) -> Path:
    """Write the page beside the record; returns its path."""

    def build() -> dict[str, str]:
        return {
            "title": escape(say("Forgotten by {model}", model=result.model)),
            "method": escape(_method(result)),
            "verdicts": html_table(*verdict_rows(result)),
            "texts": html_table(*text_rows(result)) + _more(result),
            "similar": _similar(result),
            "membership": html_table(*membership_rows(result.proof.membership)) or _missing(),
            "relearning": _relearning(result),
            "probes": html_table(*probe_rows(result)) if result.proof.probes else _missing(),
            "exposure": html_table(*exposure_rows(result)) if result.proof.exposure else _missing(),
            "cost": html_table(*cost_rows(result)) if result.proof.perplexity else _missing(),
            "limits": f"<ul>{''.join(f'<li>{escape(_say(limit))}</li>' for limit in result.limits)}</ul>",
        }

    path = folder.forgetting.with_suffix(".html")
    write_text(path, fill_bilingual("forgetting.html", build))
    return path


def forgetting_tables(result: Forgetting) -> list["RenderableType"]:
    """The tables and sentences that the command prints."""
    tables: list[RenderableType] = [_method(result), column_table("", *verdict_rows(result))]
    membership = result.proof.membership
    tested = [row for row in membership if row.is_verdict] or [row for row in membership if row.attack == "loss"]
    tables += [column_table("", *membership_rows(tested)), column_table("", *cost_rows(result))]
    return [*tables, say("What is not proved"), *(f"- {_say(limit)}" for limit in result.limits)]


def verdict_rows(result: Forgetting) -> Table:
    """What each test says."""
    verdicts = result.proof.verdicts
    tests = TESTS if result.proof.is_unread is None else {"unread": UNREAD}
    rows = [[say(text), _verdict(verdicts.get(name))] for name, text in tests.items()]
    return [say("what is tested"), say("result")], rows


def _verdict(passed: bool | None) -> str:
    return say("not tested") if passed is None else say("passed") if passed else say("failed")


def text_rows(result: Forgetting) -> Table:
    """The texts with their losses by model."""
    names = [name for name in MODELS if name in result.texts[0].losses]
    has_level = any(text.level is not None for text in result.texts)
    head = [say(name) for name in ("document", "SHA-256 of the text", "tokens", *names)] + (
        [say("estimate if unread")] if has_level else []
    )
    rows = []
    for text in result.texts[:MAX_ROWS]:
        number = "" if text.number is None else f"{text.number:,}"
        losses = [f"{text.losses[name]:.3f}" for name in names]
        level = ["" if text.level is None else f"{text.level:.3f}"] if has_level else []
        rows.append([number, f"{text.sha256[:16]}…", f"{text.tokens:,}", *losses, *level])
    return head, rows


def _more(result: Forgetting) -> str:
    count = len(result.texts) - MAX_ROWS
    return f"<p>{escape(say('And {n} more.', n=count))}</p>" if count > 0 else ""


def _similar(result: Forgetting) -> str:
    if not result.similar:
        return ""
    head = [say("document"), say("share of the text")]
    rows = [[f"{number:,}", f"{share:.0%}"] for number, share in result.similar[:MAX_ROWS]]
    sentence = say("Other training documents that share text with a forgotten one; they were not forgotten:")
    return f"<p>{escape(sentence)}</p>{html_table(head, rows)}"


def membership_rows(tests: Sequence[Membership]) -> Table:
    """The areas of the attacks."""
    head = [say(name) for name in ("attack", "texts", "told from", "area under the ROC curve", "at chance")]
    rows = [
        [
            say(test.attack),
            _group(test.members),
            _group(test.others),
            say_metric(vars(test.area)),
            "" if test.is_at_chance is None else say("yes") if test.is_at_chance else say("no"),
        ]
        for test in tests
    ]
    return head, rows


def _group(name: str) -> str:
    model, _, texts = name.partition(": ")
    return say("{texts}, {model} model", texts=say(texts), model=say(model))


def _relearning(result: Forgetting) -> str:
    relearning = result.proof.relearning
    if relearning is None:
        return _missing()
    curves = [
        Series(say(name), style, list(zip(map(float, relearning.steps), values, strict=True)))
        for (name, values), style in zip(relearning.curves.items(), COLORS, strict=False)
    ]
    chart = line_chart(curves, x_label=say("step"), y_label=say("loss (nats per token)"))
    sentence = (
        "Difference of the mean loss, unlearned less retrained; below 0, the unlearned model knows more:"
        if relearning.reference == "retrained"
        else "Difference of the change of the loss from that of unread texts; below 0, the texts are learned faster:"
    )
    rows = [
        [f"{step}", say_metric(vars(metric))] for step, metric in zip(relearning.steps, relearning.difference, strict=True)
    ]
    table = html_table([say("step"), say("difference (95% interval)")], rows)
    return f"{chart}<p>{escape(say(sentence))}</p>{table}"


def probe_rows(result: Forgetting) -> Table:
    """The losses of answers by kind of question."""
    names = [name for name in MODELS if name in result.proof.probes[0].losses] if result.proof.probes else []
    head = [say(name) for name in ("kind", "questions", *names, "difference (95% interval)")]
    rows = [
        [
            probe.kind,
            f"{probe.count:,}",
            *(say_metric(vars(probe.losses[name])) for name in names),
            "" if probe.difference is None else say_metric(vars(probe.difference)),
        ]
        for probe in result.proof.probes
    ]
    return head, rows


def exposure_rows(result: Forgetting) -> Table:
    """The exposure by model, beside chance."""
    exposure = result.proof.exposure
    head = [say(name) for name in ("model", "texts", "exposure in bits", "exposure by chance")]
    if exposure is None:
        return head, []
    return head, [
        [say(name), f"{exposure.count:,}", say_metric(vars(bits)), f"{exposure.by_chance:.2f}"]
        for name, bits in exposure.bits.items()
    ]


def cost_rows(result: Forgetting) -> Table:
    """The perplexity by model."""
    rows = [
        [say("perplexity, {model} model", model=say(name)), say_metric(vars(metric))]
        for name, metric in result.proof.perplexity.items()
    ]
    if result.proof.cost is not None:
        rows.append([say("change of the loss by forgetting, nats per token"), say_metric(vars(result.proof.cost))])
    return [say("on unread texts"), say("value (95% interval)")], rows


def _method(result: Forgetting) -> str:
    sentences = [say(METHODS[result.method], steps=f"{result.steps:,}", time=format_duration(result.seconds))]
    proof = result.proof
    if result.method == "retrain" and proof.first_read and (proof.same_losses or 0) >= proof.first_read:
        sentences.append(
            say(
                "Step {first} was the first to read one of them; the losses of the steps before are those of the original "
                "run, to the bit.",
                first=proof.first_read + 1,
            )
        )
    return " ".join(sentences)


def _missing() -> str:
    return f"<p>{escape(say('not tested'))}</p>"


def _say(statement: Statement) -> str:
    return say(statement.text, **statement.values)
