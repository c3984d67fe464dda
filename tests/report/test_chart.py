"""Charts and ticks."""

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from lmcraft.report.chart import Series, line_chart, sparkline, ticks

numbers = st.integers(-(10**6), 10**6).map(lambda n: n / 1000)


@given(numbers, numbers)
def test_ticks_enclose_the_range_and_are_few(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = ticks(low, high)
    slack = 1e-9 * max(1.0, abs(low), abs(high))
    assert found[0] <= low + slack and found[-1] >= high - slack and 2 <= len(found) <= 8
    assert found == sorted(set(found))


def test_a_chart_is_well_formed_and_escaped() -> None:
    svg = line_chart([Series("a < b", "a", [(i, i * i) for i in range(2000)])], x_label="step", y_label="loss")
    assert ET.fromstring(svg).tag == "svg" and "a &lt; b" in svg and len(svg) < 30_000


def test_a_sparkline_falls_as_its_values_do() -> None:
    assert sparkline([3.0, 2.0, 1.0]) == "█▅▁" and sparkline([1.0, 1.0]) == "▁▁"
