"""The drawing of what a model was made from."""

import xml.etree.ElementTree as ET
from pathlib import Path

from lmcraft.folder import ModelFolder, write_json, write_text
from lmcraft.lineage.document import Origin, make_lineage
from lmcraft.reports.language import writing_in
from lmcraft.reports.sections.lineage import MAX_PER_ROW, Node, draw_lineage, lineage_section


def texts_of(node: Node) -> list[str]:
    [svg] = ET.fromstring(draw_lineage(node))
    return [text.text or "" for text in svg.findall("text")]


def test_each_origin_has_a_box_and_an_arrow() -> None:
    data = Node("training data", "<texts>", "mit", "ab" * 32)
    node = Node("this model", "tuned", origins=(Node("base", "small", "apache-2.0", origins=(data,)), data))
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


def test_the_whole_history_is_drawn_and_listed(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    summary = {"name": "plays", "licenses": {"CC0": {"documents": 3}, "": {"documents": 1}}}
    data = make_lineage(kind="dataset", summary=summary)
    base = make_lineage(
        kind="pretrain", license="mit", data=(Origin("training data", "/a/data", sha256=data.sha256, lineage=data),)
    )
    parents = (Origin("base", "hf:owner/<small>", sha256=base.sha256, lineage=base),)
    write_json(folder.lineage, make_lineage(kind="finetune", parents=parents).as_json())
    section = lineage_section(folder, "tuned")
    assert section.count("<rect") == 3 and "base: &lt;small&gt;; training data: plays" in section
    assert f"<td>plays</td><td>dataset</td><td></td><td>CC0</td><td>{data.sha256[:12]}</td>" in section
    with writing_in("zh-Hans"):
        assert "<td>预训练</td>" in lineage_section(folder, "tuned")


def test_a_damaged_or_missing_lineage_is_no_section(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path)
    assert lineage_section(folder, "a") == ""
    write_text(folder.lineage, '{"version": 2, "parents": 3}')
    assert lineage_section(folder, "a") == ""
