"""The words that are searched for."""

import pytest

from lmcraft.retrieval.terms import clues, is_chinese, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How do I install the printers?", ["instal", "printer"]),
        ("apt-get upgrade", ["apt-get", "apt", "get", "upgrad"]),
        ("怎么查看磁盘空间？", ["查看", "看磁", "磁盘", "盘空", "空间"]),
        ("如何用 sudo", ["sudo"]),
        ("", []),
        ("?!", []),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("printers", [("printer",)]),
        ("退货吗", [("退货",), ("退货",)]),
        ("退货款", [("退货",), ("退货", "货款"), ("货款",)]),
        ("税", [("税",)]),
    ],
)
def test_clues(text: str, expected: list[tuple[str, ...]]) -> None:
    assert clues(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("如何用 sudo 关机", True), ("What is 你好?", False), ("", False)])
def test_is_chinese(text: str, expected: bool) -> None:
    assert is_chinese(text) == expected
