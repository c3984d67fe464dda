"""Who a text speaks of, and in which variety of its language."""

import tomllib
from importlib.resources import files

import pytest

from lmcraft.moderation.groups import GroupAttribute, count_groups


@pytest.mark.parametrize(
    ("text", "attribute", "groups"),
    [
        ("Two women and a man met three Women.", "identity", ["women", "men"]),
        ("A Muslim, two Muslims and a Jewish mother.", "identity", ["muslim", "jewish", "women"]),
        ("The manual was managed; blackboard, jewel.", "identity", []),
        ("犹太人和穆斯林，还有穆斯林。", "identity", ["muslim", "jewish"]),
        ("The colour of my neighbour's grey car in the center.", "dialect", ["british", "american"]),
        ("They finna go, y'all ain't ready.", "dialect", ["african_american"]),
        ("我們這裡的國家。", "dialect", ["traditional"]),
        ("我们这里的国家。", "dialect", ["simplified"]),
        ("", "identity", []),
    ],
)
def test_groups(text: str, attribute: GroupAttribute, groups: list[str]) -> None:
    assert count_groups(text, attribute) == groups


@pytest.mark.parametrize("attribute", ["identity", "dialect"])
def test_each_word_stands_for_one_group(attribute: str) -> None:
    tables = tomllib.loads((files("lmcraft.moderation.groups") / f"{attribute}.toml").read_text(encoding="utf-8"))
    for groups in tables.values():
        words = [word for words in groups.values() for word in words]
        assert len(words) == len(set(words)) and all(word == word.lower().strip() for word in words)
