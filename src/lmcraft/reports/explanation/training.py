"""The view of training: the text through the checkpoints of the run, with a slider."""

from lmcraft.interpretability.explanation import Explanation, Training
from lmcraft.reports.chart import Series, line_chart
from lmcraft.reports.explanation.checks import checks_html
from lmcraft.reports.explanation.surprise import NATS_OF_STRONGEST_SHADE, choices_html
from lmcraft.reports.explanation.tokens import number, rows_table, shade, strip_of
from lmcraft.reports.language import say
from lmcraft.reports.template import both, in_both

CHOICES_SHOWN = 3


def training_html(explanation: Explanation, training: Training) -> str:
    """When induction forms, curves over the steps, the text at one step, and all steps in a table."""
    slider = (
        '<div class="slider" data-slider hidden>'
        f'<label for="step">{both(lambda: say("Step"))} <output data-step></output></label>'
        f'<input type="range" id="step" min="0" max="{len(training.steps) - 1}" value="{len(training.steps) - 1}"></div>'
    )
    last = training.steps[-1] if training.steps else None
    shades = [max(0, shade(nats, NATS_OF_STRONGEST_SHADE)) for nats in last.surprise] if last else []
    text = strip_of(explanation.tokens, shades, "training") if len(shades) == len(explanation.tokens) else ""
    return "".join(
        [
            f"<p>{both(lambda: _formation(training))}</p>",
            in_both(lambda: _charts(training), "div"),
            slider,
            text,
            _table(training),
            checks_html(training.checks),
        ]
    )


def _formation(training: Training) -> str:
    if training.formation_step is None:
        return say("No head of any checkpoint copies from earlier occurrences: induction has not formed.")
    return say(
        "Induction forms by step {step}: the first checkpoint whose best induction score is above half of the highest.",
        step=f"{training.formation_step:,}",
    )


def _charts(training: Training) -> str:
    scores = [
        Series(say("induction"), "c", [(s.step, s.induction) for s in training.steps]),
        Series(say("previous token"), "a dashed", [(s.step, s.previous_token) for s in training.steps]),
    ]
    losses = [
        Series(say("surprise at the text"), "b", [(s.step, s.nats_per_token) for s in training.steps]),
        Series(
            say("gain on the repetition of random tokens"),
            "d dashed",
            [(s.step, s.induction_loss_gap) for s in training.steps],
        ),
    ]
    return line_chart(scores, x_label=say("step"), y_label=say("highest score of a head")) + line_chart(
        losses, x_label=say("step"), y_label=say("nats per token")
    )


def _table(training: Training) -> str:
    head = [
        both(lambda: say("step")),
        both(lambda: say("nats per token")),
        both(lambda: say("induction")),
        both(lambda: say("previous token")),
        both(lambda: say("What comes next")),
    ]
    rows = [
        [
            f"{s.step:,}",
            number(s.nats_per_token),
            number(s.induction),
            number(s.previous_token),
            choices_html(s.next_tokens[:CHOICES_SHOWN]),
        ]
        for s in training.steps
    ]
    return rows_table(head, rows, "steps")
