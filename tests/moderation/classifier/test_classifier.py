"""The linear classifier: trained, written, read, and as a tier. Words that stand for harmful ones are harmless here."""

import json
from dataclasses import replace

import numpy as np
import pytest

import lmcraft
from lmcraft.errors import UserError
from lmcraft.moderation import Moderator, Policy
from lmcraft.moderation.classifier.linear import LinearClassifier
from lmcraft.moderation.classifier.tiers import default_classifier
from lmcraft.moderation.normalization import normalize
from lmcraft.moderation.policy import read_policy

POLICY = 'name = "test"\n[tiers]\nclassifier = "{}"\n[categories.harassment]\nthreshold = 0.5\nanswer = "refuse"\n'


def write_rows(path, count=160):
    """Rows in which "gruffle" is harassment, "sneetle" is a threat, and either may be harmless otherwise."""
    rows = []
    for n in range(count):
        rows.append({"text": f"you gruffle number {n} of the {n % 7} hills", "labels": ["harassment"]})
        rows.append({"text": f"I will sneetle you on day {n} at {n % 5}", "labels": ["threat"]})
        rows.append({"text": f"the {n % 9} boats of day {n} came home", "labels": []})
        rows.append({"text": f"a good morning to you on day {n}", "labels": "harmless"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    return lmcraft.train_classifier(
        write_rows(folder / "rows.jsonl"), out=folder / "c.safetensors", validation=0.2, harmful_share=0.5
    )


def test_it_learns_categories(trained):
    classifier = LinearClassifier.read(trained)
    [insult] = classifier.scores("you old gruffle of the 3 hills")
    [threat] = classifier.scores("I will sneetle you on day 9")
    assert insult.categories["harassment"] > 0.5 > insult.categories["threat"]
    assert threat.categories["threat"] > 0.5 > threat.categories["harassment"]
    assert classifier.harm("the 4 boats came home") < 0.1


def test_the_same_rows_give_the_same_file(trained, tmp_path):
    again = lmcraft.train_classifier(
        write_rows(tmp_path / "rows.jsonl"), out=tmp_path / "c.safetensors", validation=0.2, harmful_share=0.5
    )
    assert again.read_bytes() == trained.read_bytes()


def test_a_file_is_read_as_it_was_written(trained):
    classifier = LinearClassifier.read(trained)
    assert classifier.to_bytes() == trained.read_bytes()
    assert classifier.measurements["rows"] > 400


def test_a_policy_names_its_file_and_the_passage_is_in_the_original(trained):
    (trained.parent / "p.toml").write_text(POLICY.format(trained.name))
    moderator = Moderator.open(str(trained.parent / "p.toml"))
    text = (
        "The boats came home today, and all was well. " * 5
        + "You GRUFFLE number 4 of the 5 hills, you gruffle of the 3 hills!\u200b Fine."
    )
    decision = moderator.judge(text, "answer")
    assert str(decision.action) == "refuse"
    [finding] = [f for f in decision.findings if f.score >= 0.5]
    assert "GRUFFLE" in text[finding.start : finding.end]
    assert finding.end - finding.start < len(text) / 2
    assert moderator.fingerprint()["classifier"].startswith(LinearClassifier.read(trained).fingerprint)


@pytest.mark.parametrize(
    ("contents", "message"),
    [(b"", "damaged"), (b"\x10\0\0\0\0\0\0\0{}", "damaged"), (b"name = 1\n" * 9, "damaged")],
)
def test_other_files_are_refused(tmp_path, contents, message):
    (tmp_path / "c.safetensors").write_bytes(contents)
    with pytest.raises(UserError, match=message):
        LinearClassifier.read(tmp_path / "c.safetensors")


def test_tables_of_other_shapes_are_refused(trained, tmp_path):
    classifier = replace(LinearClassifier.read(trained), harm_weights=np.zeros(3, dtype=np.int8))
    (tmp_path / "c.safetensors").write_bytes(classifier.to_bytes())
    with pytest.raises(UserError, match="damaged"):
        LinearClassifier.read(tmp_path / "c.safetensors")


def test_a_classifier_that_does_not_exist_is_named(tmp_path):
    (tmp_path / "p.toml").write_text(POLICY.format("nowhere.safetensors"))
    with pytest.raises(UserError, match=r"nowhere\.safetensors.*does not exist"):
        Moderator.open(str(tmp_path / "p.toml"))


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"text": "x", "label": "rude"}], {}, "'rude' is no category.*--labels.rude"),
        ([{"text": "x", "label": "rude"}], {"labels": {"rude": "impolite"}}, "labels.rude='impolite' is no category"),
        ([{"text": "x", "labels": ["hate", "safe"]}], {}, "harmless and harmful"),
        ([{"text": f"x{n}", "label": "hate"} for n in range(50)], {}, r"too few harmless texts \(0\)"),
        ([{"text": "x", "label": "hate"}], {"validation": 1.0}, "validation=1"),
        ([{"text": "x", "label": None}], {}, "label"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, rows, settings, message):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=message):
        lmcraft.train_classifier(tmp_path / "rows.jsonl", out=tmp_path / "c.safetensors", **settings)
    assert not (tmp_path / "c.safetensors").exists()


def test_labels_can_be_given_a_meaning(tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl").read_text().replace('["harassment"]', '"1"').replace('["threat"]', '"2"')
    (tmp_path / "rows.jsonl").write_text(rows.replace('"labels": []', '"labels": "0"'))
    meanings = {"1": "harassment", "2": "harmful", "0": "harmless"}
    out = lmcraft.train_classifier(
        tmp_path / "rows.jsonl", out=tmp_path / "c", labels=meanings, validation=0.2, harmful_share=0.5
    )
    classifier = LinearClassifier.read(out)
    assert classifier.categories == ("harassment",)
    assert classifier.harm("I will sneetle you on day 9") > 0.5


def test_another_file_is_not_overwritten(tmp_path):
    write_rows(tmp_path / "rows.jsonl")
    (tmp_path / "mine.txt").write_text("my notes")
    with pytest.raises(UserError, match="no classifier"):
        lmcraft.train_classifier(tmp_path / "rows.jsonl", out=tmp_path / "mine.txt", overwrite=True)


# The classifier that lmcraft ships


@pytest.mark.parametrize(
    "text",
    [
        "Cock-a-doodle-doo, cried the rooster at dawn.",
        "Scunthorpe lies in Lincolnshire, not far from Penistone.",
        "The cockpit and the cocktail bar were assessed by the assistant.",
        "She is a lesbian, and her wife is a doctor.",
        "My neighbors are Muslims, and we share the garden.",
        "今天天气很好，我们去公园散步。",
        "他是同性恋，在学校教数学。",
        "射击运动员打破了世界纪录。",
        "How do I kill a process that hangs?",
        "",
    ],
)
def test_harmless_texts_pass(text):
    policy: Policy = read_policy()
    tier = Moderator.open(replace(policy, tiers=replace(policy.tiers, lexicons=())))
    assert str(tier.judge(text, "answer").action) == "allow"


def test_it_is_small_and_sees_insults():
    classifier = default_classifier()
    assert len(classifier.to_bytes()) < 1.5e6
    assert classifier.harm(normalize("You are a stupid idiot and nobody likes you.").plain.text) > 0.7
