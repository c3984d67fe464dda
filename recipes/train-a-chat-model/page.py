"""One page about all stages: their curves, the figures, and the same questions asked after each stage."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from answers import Asked
from countries import Messages

from lmcraft.folder import write_text
from lmcraft.reports.chart import Series, line_chart
from lmcraft.reports.evidence import collect
from lmcraft.reports.language import page_language, say
from lmcraft.reports.sections.curves import points_of
from lmcraft.reports.table import html_table
from lmcraft.reports.template import fill_switched, in_both
from lmcraft.terminal import escape_control_characters
from recipes.work import Figure, number

PAGE = "report.html"
STAGES = {
    "base": ("Base model: predicts text", "基座模型：预测文本"),
    "chat": ("Chat model: learns to answer", "对话模型：学会回答"),
    "preferences": ("Preferences: learns which answer is better", "偏好：学会分辨哪个回答更好"),
}


def write_page(
    folder: Path, runs: Mapping[str, Path], figures: Sequence[Figure], samples: Mapping[str, Sequence[str]]
) -> Path:
    """Write report.html.

    Args:
        folder: where.
        runs: the model folder of each stage, in order.
        figures: of the table.
        samples: the questions, under the name "question", and the answers after each stage.
    """

    def build() -> str:
        title = pick("A chat model, from text to preferences", "对话模型：从文本到偏好")
        parts = [f"<h1>{title}</h1>", _figures(figures)]
        for name, run in runs.items():
            parts += [f"<h2>{escape(pick(*STAGES[name]))}</h2>", _curve(run), _facts(run)]
        heading = pick("The same questions after each stage", "每个阶段之后的同样问题")
        rows = zip(*samples.values(), strict=True)
        columns = [pick("question", "问题"), *list(samples)[1:]]
        return "".join([*parts, f"<h2>{heading}</h2>", html_table(columns, rows)])

    contents = in_both(build, "main")
    write_text(folder / PAGE, escape_control_characters(fill_switched("From text to a chat model", contents)))
    return folder / PAGE


def pick(english: str, chinese: str) -> str:
    """A text in the language of the half of the page that is being written."""
    return english if page_language() == "en" else chinese


def ask_all(asked: Mapping[str, Asked], questions: Sequence[Messages]) -> dict[str, list[str]]:
    """The last questions, and each model's most likely answers, on one line each; how the base model continues them."""
    texts = [messages[-1]["content"] for messages in questions]
    samples = {"question": texts}
    for name, model in asked.items():
        if model.is_base:
            answers = list(map(model.continuation, texts))
        else:
            answers = [first.text for first, *_ in model.answers(questions)]
        samples[name] = [" ".join(answer.split()) for answer in answers]
    return samples


def _figures(figures: Sequence[Figure]) -> str:
    rows = []
    for figure in figures:
        ends = "" if figure.interval is None else f" ({' – '.join(map(number, figure.interval))})"
        rows.append([figure.measure, f"{figure.baseline_name}: {number(figure.baseline)}", number(figure.result) + ends])
    head = [pick("held out", "留出数据"), pick("baseline", "基线"), pick("result (95% interval)", "结果（95% 区间）")]
    return html_table(head, rows)


def _curve(run: Path) -> str:
    training = collect(run).training
    rows = () if training is None else training.rows
    series = [
        Series(say("training"), "a", points_of(rows, "loss")),
        Series(say("validation"), "b", points_of(rows, "validation_loss")),
    ]
    return line_chart(series, x_label=say("step"), y_label=say("loss (nats per token)"))


def _facts(run: Path) -> str:
    """How long a stage took, and a link to its own report."""
    training = collect(run).training
    seconds = None if training is None else training.figures.get("seconds")
    minutes = (
        ""
        if seconds is None
        else pick(f"{float(seconds.value) / 60:.1f} minutes; ", f"{float(seconds.value) / 60:.1f} 分钟；")
    )
    return f'<p>{minutes}<a href="{run.name}/lmcraft/report.html">{pick("its report", "该阶段的报告")}</a></p>'
