"""Documents are sampled to a target mix, and what was lost is counted by group."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft import prepare
from lmcraft.errors import UserError
from lmcraft.preparation.contracts import KEEP, DocumentId, Record, Tally
from lmcraft.preparation.counting import ATTRIBUTES, count_verdict
from lmcraft.preparation.stages.attributes import Attributes
from lmcraft.preparation.stages.balance import Balance, kept_shares


def make_record(text: str, number: int = 0) -> Record:
    return Record(DocumentId(0, 0, number), text, "a.txt", 1, "en", notes={"source": "s"})


@pytest.mark.parametrize(
    ("sizes", "target", "shares"),
    [
        ({"a": 100, "b": 300}, {"a": 0.5, "b": 0.5}, {"a": 1, "b": 1 / 3}),
        ({"a": 100, "b": 300}, {"a": 0.1}, {"a": 1 / 3, "b": 1}),
        ({"a": 100, "b": 300, "c": 100}, {"a": 0.5}, {"a": 1, "b": 0.25, "c": 0.25}),
        ({"a": 100, "b": 300}, {"a": 0}, {"a": 0, "b": 1}),
        ({"a": 100, "b": 300}, {"a": 1}, {"a": 1, "b": 0}),
        ({"a": 100, "b": 300}, {"a": 0.2, "b": 0.2}, {"a": 1, "b": 1 / 3}),
        ({"a": 100}, {"a": 0.3, "b": 0}, {"a": 1}),
    ],
)
def test_shares(sizes: dict[str, int], target: dict[str, float], shares: dict[str, float]) -> None:
    assert kept_shares(sizes, target) == pytest.approx(shares)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 10**12), min_size=2),
    st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 0.24), min_size=1),
)
def test_what_stays_has_the_mix_and_one_group_stays_whole(sizes: dict[str, int], target: dict[str, float]) -> None:
    target = {group: share for group, share in target.items() if group in sizes} or {min(sizes): 0.2}
    kept = {group: share * sizes[group] for group, share in kept_shares(sizes, target).items()}
    assert all(0 <= size <= sizes[group] * (1 + 1e-9) for group, size in kept.items())
    assert any(size == pytest.approx(sizes[group]) for group, size in kept.items())
    whole = sum(kept.values()) if target.keys() < sizes.keys() else sum(kept.values()) / sum(target.values())
    for group, share in target.items():
        assert kept[group] == pytest.approx(share * whole, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "attribute is empty"),
        ({"attribute": "dialect"}, "target is empty"),
        ({"attribute": "dialect", "target": {"british": 1.5}}, r"target\.british=1\.5 is not a share"),
        ({"attribute": "dialect", "target": {"british": 0.7, "american": 0.7}}, "add up to 1.4"),
    ],
)
def test_impossible_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Balance(**settings)  # type: ignore[arg-type]


def test_a_target_that_no_document_has_is_refused() -> None:
    with pytest.raises(UserError, match=r"target\.british: no document has this group; there are american, none"):
        kept_shares({"none": 3, "american": 5}, {"british": 0.5})
    with pytest.raises(UserError, match="target leaves no document"):
        kept_shares({"none": 3}, {"none": 0})


def test_an_attribute_that_no_stage_noted_is_refused(tmp_path: Path) -> None:
    stage = Balance(attribute="dialect", target={"british": 0.5})
    with pytest.raises(UserError, match="put a stage of kind 'attributes' before 'balance'"):
        list(stage.sketch([make_record("text")], tmp_path / "sketch"))


def test_removals_are_counted_by_every_group_of_a_document() -> None:
    record, tally = make_record("The women and a man saw the colour."), Tally()
    Attributes(attributes=("identity", "dialect")).judge(record)
    assert record.notes[ATTRIBUTES] == {"identity": ["men", "women"], "dialect": ["british"]}
    count_verdict(tally, "quality", record, KEEP, 35, 35)
    counts = {name: count for name, count in tally.counts.items() if name.startswith("groups/") and "bytes" in name}
    assert counts == {
        f"groups/quality/{group}/{kind}/bytes": 35
        for group in ("identity/men", "identity/women", "dialect/british")
        for kind in ("in", "kept")
    }


def test_a_recipe_balances_and_says_what_was_lost(tmp_path: Path) -> None:
    texts = [f"Letter {n}: the colour of the harbour was grey." for n in range(300)]
    texts += [f"Letter {n}: the color of the harbor was gray; a woman said so." for n in range(100)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "recipe.toml").write_text(f"""
vocab_size = 300
source = [{{ name = "letters", paths = ['{tmp_path / "rows.jsonl"}'], kind = "prose" }}]
[[stage]]
kind = "attributes"
attributes = ["dialect", "identity"]
[[stage]]
kind = "balance"
attribute = "dialect"
unit = "documents"
target = {{ british = 0.5, american = 0.5 }}
""")
    dataset = prepare(str(tmp_path / "recipe.toml"), out=tmp_path / "out")
    attributes = dataset.manifest()["attributes"]
    british, american = attributes["dialect"]["british"], attributes["dialect"]["american"]
    assert (british["before"]["documents"], american["before"]["documents"]) == (300, 100)
    assert 70 <= british["after"]["documents"] <= 130 and american["after"]["documents"] == 100
    assert british["removed"]["balance"]["documents"] == 300 - british["after"]["documents"]
    assert attributes["identity"]["women"]["after"]["documents"] == 100
    page = (dataset.path / "report.html").read_text(encoding="utf-8")
    assert "What was lost, by group" in page and "各群体的损失" in page
    recipe = (tmp_path / "recipe.toml").read_text()
    (tmp_path / "wrong.toml").write_text(recipe.replace("british = 0.5", "welsh = 0.5"))
    with pytest.raises(UserError, match=r"stage 'balance': target\.welsh: no document has this group; there are american"):
        prepare(str(tmp_path / "wrong.toml"), out=tmp_path / "wrong")
    again = prepare(str(tmp_path / "recipe.toml"), out=tmp_path / "again", workers=2)
    shards = [Counter(shard["sha256"] for shard in d.manifest()["splits"]["train"]["shards"]) for d in (dataset, again)]
    assert shards[0] == shards[1]
