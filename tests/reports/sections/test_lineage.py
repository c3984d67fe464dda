"""The drawing of what a model was made from."""

import xml.etree.ElementTree as ET

from lmcraft.reports.sections.lineage import MAX_PER_ROW, Node, draw_lineage


def texts_of(node: Node) -> list[str]:
    [svg] = ET.fromstring(draw_lineage(node))
    return [text.text or "" for text in svg.findall("text")]


def test_each_origin_has_a_box_and_an_arrow() -> None:
    data = Node("training data", "<texts>", "mit", "ab" * 32)
    node = Node("this model", "tuned", "", "", (Node("base", "small", "apache-2.0", "", (data,)), data))
    [svg] = ET.fromstring(draw_lineage(node))
    assert len(svg.findall("rect")) == 4 and len(svg.findall("polyline")) == 3
    assert texts_of(node).count("<texts>") == 2
    label = "What tuned was made from: base: small; training data: <texts>; training data: <texts>"
    assert svg.get("aria-label") == label


def test_many_origins_are_counted() -> None:
    origins = tuple(Node("base", f"model {number}") for number in range(50))
    texts = texts_of(Node("this model", "merged", origins=origins))
    assert texts.count("base") == MAX_PER_ROW - 1 and f"and {50 - MAX_PER_ROW + 1} more" in texts


def test_a_long_history_ends() -> None:
    node = Node("base", "first")
    for number in range(100):
        node = Node("base", f"model {number}", origins=(node,))
    assert len(texts_of(node)) < 50
