"""What a family of runs says about the next size: `scaling.json`, and `scaling.html`, a page that needs nothing else."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from lmcraft.folder import write_json, write_text
from lmcraft.reports.chart import Series, line_chart, short
from lmcraft.reports.page import STYLE
from lmcraft.reports.table import table
from lmcraft.training.scaling_law import INTERVAL, Fit, Point, Prediction, ScalingLaw, interval

PAGE = Template((Path(__file__).parent / "scaling.html").read_text(encoding="utf-8"))
COLORS = "abcdef"
LINE = 40  # points of a drawn law
WITHIN = 0.01  # deviation of the runs from their law up to which it can be relied on
BUDGETS = (1, 10, 100)  # times the predicted run's operations


@dataclass(frozen=True)
class Optimum:
    """The best use of a budget of operations, by the law."""

    flops: float
    parameters: float
    tokens: float
    loss: float


@dataclass(frozen=True)
class Scaling:
    """A family of runs, its law, and what the law said about a larger run before that was made."""

    points: Sequence[Point]
    fit: Fit
    target: Point
    """The larger run; its loss is NaN until it is made."""

    @property
    def made(self) -> bool:
        """Whether the larger run is made."""
        return self.target.loss == self.target.loss

    @property
    def prediction(self) -> Prediction:
        return self.fit.predict(self.target.parameters, self.target.tokens)

    @property
    def error(self) -> float:
        """The prediction over what happened, less 1; NaN until the larger run is made."""
        return self.prediction.loss / self.target.loss - 1

    @property
    def optimal(self) -> list[Optimum]:
        """The best use of the larger run's budget, and of larger ones."""
        return [_optimum(self.fit.law, times * 6 * self.target.parameters * self.target.tokens) for times in BUDGETS]

    def coefficients(self) -> dict[str, tuple[float, float, float]]:
        """Of each of the law's numbers: its value, and the ends of its interval."""
        found = {}
        for name in (field.name for field in fields(ScalingLaw)):
            values = np.array([getattr(law, name) for law in self.fit.replicates])
            found[name] = (getattr(self.fit.law, name), *interval(values))
        return found

    def as_json(self) -> dict[str, Any]:
        """All of it, in plain values."""
        target = asdict(self.target)
        happened = target.pop("loss")
        prediction = asdict(self.prediction) | {"interval": INTERVAL}
        return {
            "points": [asdict(p) | {"law": self.fit.law.loss(p.parameters, p.tokens)} for p in self.points],
            "law": {name: {"value": v, "low": low, "high": high} for name, (v, low, high) in self.coefficients().items()},
            "deviation": self.fit.deviation,
            "prediction": target | prediction,
            "happened": {"loss": happened, "error": self.error} if self.made else None,
            "optimal": [asdict(optimum) for optimum in self.optimal],
        }

    def sentence(self) -> str:
        """The prediction, and what became of it."""
        said = self.prediction
        promise = (
            f"{self.target.depth} blocks, {short(self.target.parameters)} parameters, {short(self.target.tokens)} tokens: "
            f"predicted {said.loss:.4f} ({INTERVAL:.0%} between {said.low:.4f} and {said.high:.4f})"
        )
        if not self.made:
            return promise + "; not trained yet"
        within = "within" if said.low <= self.target.loss <= said.high else "outside"
        return f"{promise}; happened {self.target.loss:.4f}, {within} the interval, off by {self.error:+.2%}"

    def trust(self) -> str:
        """How well the runs keep to the law, and what to do where they do not."""
        said = f"the runs miss the law by {self.fit.deviation:.2%} (standard deviation)"
        if self.fit.deviation <= WITHIN:
            return said
        return (
            f"{said}, so do not rely on it: short runs and small models do not keep to such a law; "
            "raise --tokens-per-parameter, or leave out the smallest of --depths"
        )


def write_scaling(folder: Path, scaling: Scaling) -> Path:
    """Write `scaling.json` and `scaling.html`; returns the page."""
    write_json(folder / "scaling.json", scaling.as_json())
    law = {name: f"{v:.4g} ({low:.4g} to {high:.4g})" for name, (v, low, high) in scaling.coefficients().items()}
    page = PAGE.substitute(
        style=STYLE,
        title=escape(folder.resolve().name),
        said=escape(scaling.sentence()),
        trust=escape(scaling.trust()),
        tokens=_over_tokens(scaling),
        operations=_over_operations(scaling),
        law=table(law),
        optimal=_rows((short(o.flops), short(o.parameters), short(o.tokens), f"{o.loss:.4f}") for o in scaling.optimal),
        points=_rows(point_cells(p, scaling.fit.law) for p in scaling.points),
    )
    path = folder / "scaling.html"
    write_text(path, page)
    return path


def point_cells(point: Point, law: ScalingLaw) -> tuple[str, ...]:
    """A run beside the law: blocks, parameters, tokens, loss, the law's loss, and how far that is off."""
    fitted = law.loss(point.parameters, point.tokens)
    counts = (str(point.depth), f"{point.parameters:,}", f"{point.tokens:,}")
    return (*counts, f"{point.loss:.4f}", f"{fitted:.4f}", f"{fitted / point.loss - 1:+.2%}")


def _over_tokens(scaling: Scaling) -> str:
    law, everyone = scaling.fit.law, [*scaling.points, scaling.target]
    first, last = min(p.tokens for p in everyone), max(p.tokens for p in everyone)
    series = []
    for number, (depth, group) in enumerate(_by_size([*scaling.points, scaling.target]).items()):
        parameters, color = group[0].parameters, COLORS[number % len(COLORS)]
        line = [(float(tokens), law.loss(parameters, tokens)) for tokens in np.geomspace(first, last, LINE)]
        series.append(Series(f"{_blocks(depth)}, {short(parameters)}", color, line))
        series.append(Series("", color, [(p.tokens, p.loss) for p in group if p.loss == p.loss], dots=True))
    series += _prediction(scaling, scaling.target.tokens)
    return line_chart(series, x_label="tokens", y_label="loss, nats a token", log_x=True)


def _over_operations(scaling: Scaling) -> str:
    series, last = [], 6 * scaling.target.parameters * scaling.target.tokens
    for number, (depth, group) in enumerate(_by_size(scaling.points).items()):
        dots = [(6 * p.parameters * p.tokens, p.loss) for p in group]
        series.append(Series(_blocks(depth), COLORS[number % len(COLORS)], dots, dots=True))
    first = min(6 * p.parameters * p.tokens for p in scaling.points)
    best = [(float(flops), _optimum(scaling.fit.law, flops).loss) for flops in np.geomspace(first, last, LINE)]
    series.append(Series("best, by the law", "ink dashed", best))
    return line_chart([*series, *_prediction(scaling, last)], x_label="operations", y_label="loss, nats a token", log_x=True)


def _prediction(scaling: Scaling, x: float) -> list[Series]:
    """A bar for the interval with a dot for the prediction; a full one for what happened."""
    said = scaling.prediction
    bar = Series("", "ink", [(x, said.low), (x, said.high)])
    happened = [Series("happened", "ink full", [(x, scaling.target.loss)], dots=True)] if scaling.made else []
    return [bar, Series("predicted", "ink", [(x, said.loss)], dots=True), *happened]


def _blocks(depth: int) -> str:
    return "1 block" if depth == 1 else f"{depth} blocks"


def _by_size(points: Sequence[Point]) -> dict[int, list[Point]]:
    groups: dict[int, list[Point]] = {}
    for point in points:
        groups.setdefault(point.depth, []).append(point)
    return groups


def _optimum(law: ScalingLaw, flops: float) -> Optimum:
    parameters, tokens = law.optimal(flops)
    return Optimum(float(flops), parameters, tokens, law.loss(parameters, tokens))


def _rows(rows: Any) -> str:
    return "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
