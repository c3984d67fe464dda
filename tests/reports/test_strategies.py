"""The page of compared strategies."""

import re
from pathlib import Path

import pytest

from lmcraft.audits.strategies.results import StrategyComparison
from lmcraft.reports.chart import Series, line_chart
from lmcraft.reports.strategies import harm_chart, ratio_table, strategy_table, write_strategies
from tests.audits.strategies.test_results import summary


@pytest.fixture(scope="module")
def comparison() -> StrategyComparison:
    strategies = [summary("baseline", 16, 3.0), summary("<filter>", 6, 3.01), summary("<guards>", 6, 3.01)]
    return StrategyComparison("Harm & perplexity", strategies, ["<guards>, seed 2"], ["Measured <so>."])


def test_the_page_shows_every_strategy_and_escapes_names(comparison: StrategyComparison, tmp_path: Path) -> None:
    page = write_strategies(tmp_path, comparison).read_text(encoding="utf-8")
    assert "&lt;filter&gt;" in page and "<filter>" not in page and "Harm &amp; perplexity" in page
    assert "Not measured yet: &lt;guards&gt;, seed 2." in page and "Measured &lt;so&gt;." in page
    assert "http:" not in page and "https:" not in page  # opens offline
    svg = (tmp_path / "strategies.svg").read_text(encoding="utf-8")
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox') and svg.endswith("</svg>")


def test_tables(comparison: StrategyComparison) -> None:
    head, rows = strategy_table(comparison)
    assert head[2] == "toxicity probability" and rows[0][2].startswith("0.800 (")
    head, rows = ratio_table(comparison)
    assert [row[0] for row in rows] == ["<filter>", "<guards>"] and rows[0][-1] == "yes"


def test_labels_do_not_overlap(comparison: StrategyComparison) -> None:
    chart = harm_chart(comparison)
    heights = {text: float(y) for y, text in re.findall(r'<text x="[^"]+" y="([^"]+)"[^>]*>([^<]+)</text>', chart)}
    assert abs(heights["&lt;filter&gt;"] - heights["&lt;guards&gt;"]) >= 13  # both dots are at one place
    series = Series("", "a", [(1.0, 2.0)], dots=True, x_intervals=[(0.5, 1.5)], labels=["x" * 10])
    across = re.findall(r'<line class="a" x1="([\d.]+)" x2="([\d.]+)"', line_chart([series], x_label="x", y_label="y"))
    assert len(across) == 1 and float(across[0][0]) < float(across[0][1])
