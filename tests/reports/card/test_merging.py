"""lmcraft's metadata among those of people."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.reports.card.merging import merge_metadata

RESULT = {
    "task": {"type": "text-generation"},
    "dataset": {"type": "toy", "name": "toy"},
    "metrics": [{"type": "accuracy", "value": 0.5}],
}


def merge(text: str, owned: Any, new: Any) -> tuple[dict[str, Any], Any]:
    merged, record = merge_metadata(text, owned, new)
    return yaml.safe_load(merged) or {}, record


def test_what_people_wrote_wins_and_stays_as_it_is() -> None:
    text = "# by hand\nlicense: mit  # mine\nthumbnail: x.png\ntags:\n- fun\nlanguage: en\n"
    new = {"license": "apache-2.0", "tags": ["lmcraft"], "language": ["en"], "pipeline_tag": "text-generation"}
    merged, record = merge_metadata(text, {}, new)
    assert merged == (
        "# by hand\nlicense: mit  # mine\nthumbnail: x.png\ntags:\n- fun\n- lmcraft\nlanguage: en\n"
        "pipeline_tag: text-generation\n"
    )
    assert record.keys() == {"tags", "pipeline_tag"}


def test_what_lmcraft_wrote_follows_the_evidence_until_a_person_edits_it() -> None:
    text, owned = merge_metadata(
        "", {}, {"license": "mit", "tags": ["lmcraft", "sft"], "co2_eq_emissions": {"emissions": 1.5}}
    )
    merged, record = merge(text, owned, {"license": "apache-2.0", "tags": ["lmcraft"]})
    assert merged == {"license": "apache-2.0", "tags": ["lmcraft"]}
    edited, record = merge(text.replace("mit", "gemma"), owned, {"license": "apache-2.0", "license_name": "x"})
    assert edited == {"license": "gemma"} and "license" not in record


def test_results_of_others_stay_in_the_model_index() -> None:
    theirs = [{"name": "theirs", "results": [{**RESULT, "source": {"name": "board", "url": "https://x.example"}}]}]
    text, owned = merge_metadata(
        yaml.safe_dump({"model-index": theirs}), {}, {"model-index": [{"name": "m", "results": [RESULT]}]}
    )
    assert len(yaml.safe_load(text)["model-index"][0]["results"]) == 2
    merged, _ = merge(text, owned, {})
    assert merged == {"model-index": theirs}


def test_a_model_index_that_nobody_can_read_stays() -> None:
    new = {"model-index": [{"name": "m", "results": [RESULT]}]}
    assert merge("model-index: later\n", {}, new)[0] == {"model-index": "later"}


def test_ours_are_gone_without_a_trace() -> None:
    text, owned = merge_metadata("", {}, {"model-index": [{"name": "m", "results": [RESULT]}], "tags": ["lmcraft"]})
    assert merge(text, owned, {})[0] == {}


@pytest.mark.parametrize(
    "text",
    [
        'license: "mit"\ntags: [a, b]\n',
        "? license\n: mit\n",
        "{license: mit, tags: [a]}\n",
        "license: |\n  mit\n  more\ntags:\n- a\n# end\n",
        "license: mit\nlicense: gemma\ntags: a",
        "description: >\n  # no comment\n\n  tags: no\ntags:\n\n- a\n",
        '"quoted key": 1\nname: "a: b"\ntags: []\n',
        "a: 1\r\ntags:\r\n- b\r\n",
        "tags: null\nlanguage:\n",
        "%: 1\n".replace("%", "'%'"),
    ],
)
def test_any_form_of_yaml_is_merged(text: str) -> None:
    before = yaml.safe_load(text)
    merged, owned = merge_metadata(text, {}, {"tags": ["lmcraft"], "pipeline_tag": "text-generation"})
    after = yaml.safe_load(merged)
    assert "lmcraft" in after["tags"] and after["pipeline_tag"] == "text-generation"
    assert {key: value for key, value in before.items() if key != "tags"}.items() <= after.items()
    restored, _ = merge(merged, owned, {})
    assert {key: value for key, value in restored.items() if key != "tags"} == {
        key: value for key, value in before.items() if key != "tags"
    }


KEYS = st.text(min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5), st.sampled_from(["block", "flow"]))
def test_nothing_of_a_persons_is_lost(metadata: dict[str, Any], style: str) -> None:
    metadata = yaml.safe_load(yaml.safe_dump(metadata, allow_unicode=True))
    text = yaml.safe_dump(metadata, allow_unicode=True, default_flow_style=style == "flow", sort_keys=False)
    merged, owned = merge_metadata(text, {}, {"library_name": "transformers"})
    assert yaml.safe_load(merged) == {"library_name": "transformers"} | metadata | (
        {} if metadata.get("library_name") is not None else {"library_name": "transformers"}
    )
    assert (yaml.safe_load(merge_metadata(merged, owned, {})[0]) or {}) == {
        key: value for key, value in metadata.items() if key != "library_name" or value is not None
    }
