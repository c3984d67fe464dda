"""The report on agreement: which votes count, unclear rules, suspect reviewers, the cache."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lmcraft.annotation.agreement import report as agreement
from lmcraft.annotation.agreement.gold import ExpectedVerdict
from lmcraft.annotation.agreement.report import agreement_report, describe_finding
from lmcraft.annotation.agreement.unclear_rules import MAX_CONTRADICTED
from lmcraft.annotation.agreement.vote_table import VoteTable
from lmcraft.annotation.guidelines.guideline import Guideline, Rule, hash_rule
from lmcraft.annotation.records import NewItem, NotFoundError
from lmcraft.annotation.store import ReviewStore
from tests.annotation.bulk import add_votes
from tests.annotation.samples import HARM, add_texts, judge_next

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def with_rules(*ids: str) -> Guideline:
    """A guideline whose rules have the text "text", or what follows a colon."""
    texts = dict(id_.split(":") if ":" in id_ else (id_, "text") for id_ in ids)
    rules = tuple(Rule(id_, {"en": id_}, {"en": text}, {"en": hash_rule(id_, text)}) for id_, text in texts.items())
    return replace(HARM, rules=rules)


@pytest.fixture
def sqlite_store(tmp_path: Path):
    store = ReviewStore.open(tmp_path / "reviews.sqlite")
    yield store
    store.close()


def add_numbered(store: ReviewStore, number: int, guideline: Guideline = HARM) -> list[str]:
    return add_texts(store, *(f"text {index}" for index in range(number)), guideline=guideline)


def simulate(items: Sequence[str], accuracies: dict[str, float], votes: int, seed: int = 0):
    """Votes by people of known accuracies, who cite H1 for acceptable items and H2 for harmful ones."""
    rng = np.random.default_rng(seed)
    people = list(accuracies)
    for item in items:
        truth = rng.integers(2)
        for person in rng.permutation(people)[:votes]:
            label = truth if rng.random() < accuracies[person] else 1 - truth
            yield item, str(person), HARM.labels[label].name, f"H{label + 1}"


def test_a_guideline_without_votes_has_a_report_of_nothing(store: ReviewStore) -> None:
    add_texts(store, "Hello.")
    report = agreement_report(store, "harm")
    assert (report["votes"], report["items"], report["shared_items"], report["fleiss_votes"]) == (0, 0, 0, 0)
    assert [report[name] for name in ("agreement", "krippendorff", "cohen", "fleiss")] == [None] * 4
    assert [report[name] for name in ("raters", "pairs", "rules", "confused_rules", "findings")] == [[]] * 5
    assert report["label_shares"] == {"acceptable": 0.0, "harmful": 0.0} and report["version"] == 1
    with pytest.raises(NotFoundError):
        agreement_report(store, "none")


def test_only_production_votes_count(store: ReviewStore) -> None:
    """Two reviewers and an adjudicator, a gold item, and votes of a calibration round."""
    add_texts(store, "one", "two")
    for person, labels in {"bob": ("harmful", "harmful"), "eve": ("harmful", "acceptable")}.items():
        for label in labels:
            judge_next(store, person, label, seconds=4.0)
    judge_next(store, "joe", "harmful", task="adjudicate")
    gold, calibration = add_texts(store, "gold", "round")
    store.add([NewItem(guideline="harm", answers=["gold"], source="file", expected=ExpectedVerdict("harmful"))], "ann")
    add_votes(store, [(gold, "bob", "harmful", "H1"), (gold, "eve", "acceptable", "H2")])
    add_votes(store, [(calibration, person, "harmful", "H1") for person in ("bob", "eve")], round="r1")
    report = agreement_report(store, "harm")
    assert (report["votes"], report["items"], report["shared_items"]) == (4, 2, 2)
    assert report["agreement"]["value"] == 0.5 and report["fleiss_items"] == 2
    bob, eve = report["raters"]
    assert (bob["reviewer"], bob["votes"], bob["shared_items"], bob["agreement"]["value"]) == ("bob", 2, 2, 0.5)
    assert bob["gold"] == {"judged": 1, "correct": 1, "accuracy": {"value": 1.0, "low": None, "high": None}}
    assert eve["gold"]["correct"] == 0 and eve["reliability"] is None and eve["confusion"] is None
    assert (bob["seconds"], eve["suspect"]) == (4.0, False)
    (pair,) = report["pairs"]
    assert (pair["first"], pair["second"], pair["items"]) == ("bob", "eve", 2)
    (rule,) = report["rules"]  # H1 is cited for both items, one of which was decided against eve
    assert (rule["id"], rule["votes"], rule["items"], rule["contradicted"]["value"]) == ("H1", 4, 2, 0.5)
    assert not rule["unclear"] and report["findings"] == []
    json.dumps(report, allow_nan=False)


def test_the_report_has_the_intervals_of_statistics(sqlite_store: ReviewStore) -> None:
    accuracies = {"ann": 0.95, "bob": 0.9, "eve": 0.85, "joe": 0.6}
    add_votes(sqlite_store, simulate(add_numbered(sqlite_store, 600), accuracies, 2))
    report = agreement_report(sqlite_store, "harm")
    for name in ("agreement", "krippendorff", "fleiss", "cohen"):
        assert report[name]["low"] < report[name]["value"] < report[name]["high"]
    assert report["krippendorff"]["value"] == pytest.approx(report["fleiss"]["value"], abs=0.002)
    assert len(report["pairs"]) == 6 and sum(pair["items"] for pair in report["pairs"]) == 600
    by_name = {rater["reviewer"]: rater for rater in report["raters"]}
    for name, accuracy in accuracies.items():
        reliability = by_name[name]["reliability"]
        assert reliability["low"] - 0.03 <= accuracy <= reliability["high"] + 0.03
    assert {name for name, rater in by_name.items() if rater["suspect"]} == {"joe"}
    finding = report["findings"][-1]
    assert (finding["kind"], finding["reviewer"], finding["measure"]) == ("suspect_reviewer", "joe", "agreement")
    assert describe_finding(finding).startswith("reviewer joe agrees with ")


def test_gold_items_show_which_of_two_reviewers_errs(sqlite_store: ReviewStore) -> None:
    items = add_texts(sqlite_store, *(f"gold {number}" for number in range(24)), expected=ExpectedVerdict("harmful"))
    votes = [(item, "bob", "harmful", "H1") for item in items]
    votes += [(item, "eve", "harmful" if number % 2 else "acceptable", "H1") for number, item in enumerate(items)]
    add_votes(sqlite_store, votes)
    report = agreement_report(sqlite_store, "harm")
    bob, eve = report["raters"]
    assert (bob["suspect"], eve["suspect"], eve["measure"], eve["gold"]["accuracy"]["value"]) == (False, True, "gold", 0.5)
    assert bob["reliability"]["value"] > 0.9 > 0.65 > eve["reliability"]["value"] and report["votes"] == 0
    (finding,) = report["findings"]
    assert describe_finding(finding).startswith("reviewer eve is right on 50% (")


def test_equally_good_reviewers_are_rarely_suspect() -> None:
    """Of 40 teams of 8, each of 100 items."""
    rng, flagged = np.random.default_rng(0), 0
    for _ in range(40):
        truth, items = rng.integers(0, 2, 100), np.repeat(np.arange(100), 2)
        people = np.argsort(rng.random((100, 8)), axis=1)[:, :2].ravel()
        labels = np.where(rng.random(200) < 0.85, truth[items], 1 - truth[items])
        names, none = [f"person {number}" for number in range(8)], np.zeros(200, dtype=bool)
        columns = {"item": items, "reviewer": people, "label": labels, "rule": labels, "is_current": ~none, "is_gold": none}
        table = VoteTable(**columns, truth=np.full(100, -1), reviewers=names, labels=["a", "b"], rules=["H1", "H2"])
        flagged += any(agreement._suspects(table, table))
    assert flagged <= 4


def test_unequal_numbers_of_votes(sqlite_store: ReviewStore) -> None:
    items = add_numbered(sqlite_store, 30)
    votes = [(item, f"p{person}", "harmful" if index % 3 else "acceptable", "H1")
             for index, item in enumerate(items) for person in range(1 + index % 3)]  # fmt: skip
    add_votes(sqlite_store, votes)
    report = agreement_report(sqlite_store, "harm")
    assert (report["votes"], report["items"], report["shared_items"]) == (60, 30, 20)
    assert (report["fleiss_votes"], report["fleiss_items"], report["fleiss"]) == (2, 10, None)  # all are harmful
    assert report["krippendorff"] is None and report["agreement"]["value"] == 1.0
    p0 = report["raters"][0]
    assert (p0["votes"], p0["shared_items"], p0["agreement"]["value"]) == (30, 20, 1.0)


def test_unclear_and_confused_rules_are_named(sqlite_store: ReviewStore) -> None:
    """H3 and H5 are mixed up half of the time, with other labels; H1 is clear; H2 is rare."""
    items = add_numbered(sqlite_store, 200, with_rules("H1", "H2", "H3", "H5"))
    votes: list[tuple[str, str, str, str]] = []
    for index, item in enumerate(items):
        mixed = [("harmful", "H3"), ("acceptable", "H5")] if index % 2 else [("harmful", "H3")] * 2
        choices = mixed if index < 60 else [("acceptable", "H1")] * 2
        if index == 199:
            choices = [("harmful", "H2"), ("acceptable", "H1")]
        votes += [(item, person, *choice) for person, choice in zip(("bob", "eve"), choices, strict=True)]
    add_votes(sqlite_store, votes)
    report = agreement_report(sqlite_store, "harm")
    rules = {rule["id"]: rule for rule in report["rules"]}
    assert {id_ for id_, rule in rules.items() if rule["unclear"]} == {"H3", "H5"}
    assert rules["H3"]["contradicted"]["value"] == 0.5 and rules["H5"]["contradicted"]["value"] == 1.0
    assert rules["H2"]["p_value"] > 0.05 and report["rules"][0]["id"] == "H5"
    worst, *others = report["confused_rules"]
    assert (worst["first"], worst["second"], worst["items"], worst["confusions"]) == ("H3", "H5", 60, 30)
    assert worst["confused"] and worst["other_labels"] == 1.0 and not any(pair["confused"] for pair in others)
    assert [finding["kind"] for finding in report["findings"]] == ["unclear_rule", "unclear_rule", "confused_rules"]
    text = describe_finding(report["findings"][-1])
    assert text.startswith("rules H3 and H5 are often confused (50% (") and text.endswith("); sharpen them")
    assert describe_finding(report["findings"][0]).startswith("rule H5 is unclear: 100% (")


def test_votes_on_an_old_text_of_a_rule_do_not_blame_the_new_one(sqlite_store: ReviewStore) -> None:
    items = add_numbered(sqlite_store, 40, with_rules("H1", "H2"))
    add_votes(
        sqlite_store,
        [vote for item in items for vote in ((item, "bob", "harmful", "H1"), (item, "eve", "acceptable", "H2"))],
    )
    assert {rule["id"] for rule in agreement_report(sqlite_store, "harm")["rules"]} == {"H1", "H2"}
    sqlite_store.add_guideline(with_rules("H1:sharper", "H2"), "ann")
    report = agreement_report(sqlite_store, "harm")
    assert [(rule["id"], rule["items"]) for rule in report["rules"]] == [("H2", 40)] and report["version"] == 2
    assert report["confused_rules"] == [] and report["votes"] == 80


def test_rules_of_one_quality_are_rarely_called_unclear(sqlite_store: ReviewStore) -> None:
    """Of 20 rules that are contradicted on as many items as is tolerated, almost none is named."""
    ids = [f"H{number}" for number in range(20)]
    items, rng = add_numbered(sqlite_store, 600, with_rules(*ids)), np.random.default_rng(1)
    votes = []
    for index, item in enumerate(items):
        labels = ("harmful", "acceptable" if rng.random() < MAX_CONTRADICTED else "harmful")
        votes += [(item, person, label, ids[index % 20]) for person, label in zip(("bob", "eve"), labels, strict=True)]
    add_votes(sqlite_store, votes)
    assert agreement_report(sqlite_store, "harm")["findings"] == []


def test_names_with_odd_characters(store: ReviewStore) -> None:
    items = add_numbered(store, 3)
    people = ["a\x1fb\x1ec", "\u202eevil, <script>", "x" * 200, "李"]
    add_votes(store, [(item, person, "harmful", "H1") for item in items for person in people])
    report = agreement_report(store, "harm")
    assert {rater["reviewer"] for rater in report["raters"]} == {"a b c", *people[1:]}
    assert all(rater["votes"] == 3 for rater in report["raters"])


def test_the_report_is_kept_until_the_log_grows(store: ReviewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add_texts(store, "one", "two")
    judge_next(store, "bob")
    first = agreement_report(store, "harm")
    assert agreement_report(store, "harm") is first
    judge_next(store, "eve")
    second = agreement_report(store, "harm")
    assert (first["votes"], second["votes"]) == (1, 2)
    monkeypatch.setattr(agreement, "SLOW_SECONDS", 0.0)  # as if a report took long
    monkeypatch.setattr(agreement, "MAX_LOAD", 1e-9)
    judge_next(store, "bob")
    assert agreement_report(store, "harm") is second
