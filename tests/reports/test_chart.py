"""Charts and ticks."""

import xml.etree.ElementTree as ET
from itertools import pairwise
from math import inf, nan

import hypothesis
from hypothesis import strategies as st

from lmcraft.reports.axis import log_ticks, shorten, ticks
from lmcraft.reports.chart import Interval, Series, interval_chart, line_chart, sparkline


def svg_of(figure: str) -> ET.Element:
    [svg] = ET.fromstring(figure)
    return svg


numbers = st.integers(-(10**6), 10**6).map(lambda n: n / 1000)


@hypothesis.given(numbers, numbers)
def test_ticks_enclose_the_range_and_are_few(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    result = ticks(low, high)
    slack = 1e-9 * max(1.0, abs(low), abs(high))
    assert result[0] <= low + slack and result[-1] >= high - slack and 2 <= len(result) <= 8
    assert result == sorted(set(result))


def test_a_chart_is_well_formed_and_escaped() -> None:
    chart = line_chart([Series("a < b", "a", [(i, i * i) for i in range(2000)])], x_label="step", y_label="loss")
    assert svg_of(chart).tag == "svg" and "a &lt; b" in chart and len(chart) < 30_000


def test_a_chart_of_intervals_has_a_line_at_0() -> None:
    intervals = [Interval("a < b", 0.2, 0.1, 0.3), Interval("c", 0.4, None, None)]
    chart = svg_of(interval_chart(intervals, x_label="gain"))
    [zero] = [line for line in chart.findall("line") if line.get("class") == "ink"]
    dots = [float(dot.get("cx", "")) for dot in chart.findall("circle")]
    [bar] = [line for line in chart.findall("line") if line.get("class") == "key a"]
    assert float(zero.get("x1", "")) < float(bar.get("x1", "")) < dots[0] < float(bar.get("x2", "")) < dots[1]


def test_a_sparkline_falls_as_its_values_do() -> None:
    assert sparkline([3.0, 2.0, 1.0]) == "█▅▁" and sparkline([1.0, 1.0]) == "▁▁"


@hypothesis.given(st.floats(1e-6, 1e15), st.floats(1, 1e12))
def test_logarithmic_ticks_enclose_the_range(low: float, times: float) -> None:
    result = log_ticks(low, low * times)
    assert result[0] <= low * (1 + 1e-6) and result[-1] >= low * times * (1 - 1e-6) and 2 <= len(result) <= 15
    assert result == sorted(set(result))


def test_a_logarithmic_axis_has_equal_steps_for_equal_factors() -> None:
    svg = svg_of(
        line_chart([Series("", "a", [(10**n, n) for n in range(1, 5)], dots=True)], x_label="", y_label="", log_x=True)
    )
    positions = [float(circle.get("cx", "")) for circle in svg.findall("circle")]
    steps = [b - a for a, b in pairwise(positions)]
    assert len(positions) == 4 and max(steps) - min(steps) < 0.21


def test_numbers_that_are_on_no_axis_are_left_out() -> None:
    points = [(0.0, 1.0), (1.0, nan), (2.0, inf), (3.0, 1e308), (4.0, 5e-324)]
    chart = svg_of(line_chart([Series("", "a", points, intervals=[(0.5, nan)] * 5)], x_label="step", y_label="loss"))
    [line] = chart.findall("polyline")
    assert len(line.get("points", "").split()) == 2 and "nan" not in ET.tostring(chart, encoding="unicode")
    assert "No points yet." in line_chart([Series("", "a", [(0, nan)])], x_label="step", y_label="loss")
    assert "No points yet." in interval_chart([Interval("a", nan, None, None)], x_label="gain")


def test_a_long_curve_keeps_its_peaks_as_a_band() -> None:
    points = [(n, 100.0 if n == 50_001 else 1.0) for n in range(100_000)]
    chart = svg_of(line_chart([Series("", "a", points)], x_label="step", y_label="loss"))
    [band] = chart.findall("polygon")
    heights = [float(corner.partition(",")[2]) for corner in band.get("points", "").split()]
    assert min(heights) < 30 and len(heights) <= 900


def test_a_chart_says_in_words_what_it_shows() -> None:
    label = svg_of(line_chart([Series("training", "a", [(1, 3.0), (2, 1.5), (3, 2.0)])], x_label="step", y_label="loss"))
    assert label.get("aria-label") == "loss by step. training: 3 at 1, 2 at 3; lowest 1.5 at 2, highest 3 at 1."
    bars = svg_of(interval_chart([Interval("acc", 0.25, 0.125, 0.5)], x_label="share"))
    assert bars.get("aria-label") == "share: acc 0.250 (0.125 to 0.500)"


def test_one_point_of_a_line_is_a_dot() -> None:
    chart = svg_of(line_chart([Series("training", "a", [(1, 3.0)])], x_label="step", y_label="loss"))
    assert not chart.findall("polyline") and len(chart.findall("circle")) == 2  # with the legend's


def test_wide_characters_count_twice() -> None:
    assert shorten("训练损失", 8) == "训练损失" and shorten("训练损失", 6) == "训…失" and shorten("abcdefgh", 6) == "ab…fgh"
