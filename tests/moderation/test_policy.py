"""The policy file, and what it decides."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.moderation.categories import CATEGORIES, TAXONOMIES, all_labels, nearest_category, translate_scores
from lmcraft.moderation.decision import Action, Decision, Finding
from lmcraft.moderation.policy import Policy, read_policy

POLICY = """
name = "test"
[tiers]
lexicons = ["en"]
[categories.hate]
threshold = 0.6
prompt = "flag"
answer = {action = "refuse", threshold = 0.5}
[categories.profanity]
training = "review"
answer = "redact"
"""


def write_policy(folder: Path, text: str) -> Policy:
    (folder / "policy.toml").write_text(text, encoding="utf-8")
    return read_policy(folder / "policy.toml")


def test_the_default_policy_knows_every_category() -> None:
    policy = read_policy()
    assert list(policy.rules) == list(CATEGORIES)
    assert policy.refusal_text("zh") != policy.refusal_text("en") == policy.refusal_text("fr")


def test_a_finding_counts_from_the_threshold_of_its_stage(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, POLICY)
    findings = [Finding("hate", 0.55, "classifier", "its words")]
    assert policy.decide("prompt", findings, ["classifier"]).action is Action.ALLOW
    answer = policy.decide("answer", findings, ["classifier"])
    assert (answer.action, answer.categories, answer.scores) == (Action.REFUSE, ["hate"], {"hate": 0.55})
    assert answer.reason == "hate: its words (classifier 0.55, threshold 0.5)"
    assert Decision.from_json(answer.as_json()) == answer


def test_passages_are_redacted_and_what_has_none_is_refused(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, POLICY)
    passages = [Finding("profanity", 0.9, "lexicon", "a word", *span) for span in ((10, 14), (0, 4), (3, 6))]
    decision = policy.decide("answer", passages, ["lexicon"])
    assert decision.action is Action.REDACT and decision.passages == [(0, 6), (10, 14)]
    assert decision.redact("abcdefghijklmnop") == "[redacted]ghij[redacted]op"
    assert policy.decide("answer", [Finding("profanity", 0.9, "classifier", "its words")], []).action is Action.REFUSE


def test_categories_that_a_policy_leaves_out_are_allowed(tmp_path: Path) -> None:
    decision = write_policy(tmp_path, POLICY).decide("answer", [Finding("spam", 1.0, "model", "its label")], ["model"])
    assert decision.action is Action.ALLOW and decision.scores == {"spam": 1.0}


def test_the_identity_changes_with_every_value(tmp_path: Path) -> None:
    identities = {
        write_policy(tmp_path, text).identity
        for text in (POLICY, POLICY.replace("0.6", "0.7"), POLICY.replace('"en"', '"zh"'), POLICY.replace("review", "flag"))
    }
    assert len(identities) == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "test"', "", "has no name"),
        ('name = "test"', "name = 3", "name=3 is not"),
        ('name = "test"', 'name = "test"\nrules = 1', "no setting 'rules': use name"),
        ('lexicons = ["en"]', "", "names no tier"),
        ('lexicons = ["en"]', "lexicons = [1]", "tiers.lexicons"),
        ('lexicons = ["en"]', 'lexicon = ["en"]', "tiers has no setting 'lexicon'"),
        ('lexicons = ["en"]', 'classifier = "x"\nlabels = {bad = "evil"}', "tiers.labels.bad: there is no category 'evil'"),
        ("categories.hate", "categories.hatred", "no category 'hatred'"),
        ("threshold = 0.6", "threshold = 60", "categories.hate.threshold=60 is out of range"),
        ("threshold = 0.6", "threshold = nan", "categories.hate.threshold"),
        ("threshold = 0.6", "threshold = true", "categories.hate.threshold"),
        ("threshold = 0.6", "thresholds = 0.6", "categories.hate has no setting 'thresholds'"),
        ('"flag"', '"block"', "categories.hate.prompt='block' is not an action: use one of allow, flag"),
        ('"flag"', "{threshold = 0.5}", "categories.hate.prompt has no action"),
        ('"flag"', "[]", "categories.hate.prompt=[] is not an action"),
        ('name = "test"', 'name = "test"\nrefusal = {en = " "}', "refusal has no text"),
        ('name = "test"', 'name = "test"\nrefusal = "no"', "refusal='no'"),
        (
            'name = "test"',
            'name = "test"\nrefusal = {en = 1}',
            "refusal={'en': 1} is not a table in which each value is a string",
        ),
        (
            "[categories.hate]",
            "[[categories.hate]]",
            "categories.hate is a list: write [categories.hate] with single brackets",
        ),
        ("[tiers]", "[[tiers]]", "tiers is a list: write [tiers] with single brackets"),
    ],
)
def test_a_wrong_value_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        write_policy(tmp_path, POLICY.replace(old, new))
    assert message in str(error.value) and "policy.toml" in str(error.value)


def test_a_policy_in_another_encoding_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_bytes('name = "政策"'.encode("gb18030"))
    with pytest.raises(UserError, match=r"policy\.toml' is not in UTF-8 .*: save it as UTF-8"):
        read_policy(tmp_path / "policy.toml")


def test_a_policy_that_allows_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="allows everything"):
        write_policy(tmp_path, 'name = "lax"\ntiers = {lexicons = ["en"]}\n')


def test_every_label_of_other_lists_has_a_category_and_back() -> None:
    assert [len(all_labels(taxonomy)) for taxonomy in TAXONOMIES] == [13, 14, 9]
    assert sorted(all_labels("mlcommons"), key=lambda label: int(label[1:])) == [f"S{n}" for n in range(1, 15)]
    for taxonomy in TAXONOMIES:
        for label in all_labels(taxonomy):
            category = nearest_category(label, taxonomy)
            assert translate_scores({category: 0.5}, taxonomy)[label] == 0.5
    with pytest.raises(UserError, match="'Mischief' is none of qwen3guard's"):
        nearest_category("Mischief", "qwen3guard")


def test_the_documentation_has_the_table_of_categories() -> None:
    page = (Path(__file__).parents[2] / "docs" / "guard.md").read_text(encoding="utf-8")
    for name, category in CATEGORIES.items():
        labels = " | ".join(", ".join(category.labels(taxonomy)) for taxonomy in TAXONOMIES)
        assert f"| `{name}`: {category.summary} | {labels} |" in page
