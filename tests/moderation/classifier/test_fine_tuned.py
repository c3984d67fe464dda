"""A fine-tuned classifier as the tier of a policy."""

from pathlib import Path

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.head import HEAD, Labels, add_head
from lmcraft.finetuning.text_classifier import Classifier
from lmcraft.finetuning.tuned_model import snapshot
from lmcraft.model.storage import build_model
from lmcraft.model_source import open_model
from lmcraft.moderation import Moderator
from tests.finetuning.chat import chat_folder

LABELS = Labels(("fine", "threat", "rude"), multi_label=False)
POLICY = """
name = "test"
[tiers]
classifier = "{}"
{}
[categories.harassment]
answer = "refuse"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base, out = chat_folder(tmp_path_factory.mktemp("base")), tmp_path_factory.mktemp("tuned") / "c"
    with open_model(base) as source:
        model = build_model(source.checkpoint, dtype=torch.float32)
        torch.manual_seed(0)
        add_head(model, len(LABELS.names))
        model.get_submodule(HEAD).weight.data.mul_(20)
        snapshot(model, MethodConfig(name="full"), str(base), source.tokenizer, source.eos_token_ids, LABELS)(out)
    LABELS.save(out)
    return out


def open_policy(folder: Path, labels: str = "") -> Moderator:
    (folder.parent / "p.toml").write_text(POLICY.format(folder.name, labels))
    return Moderator.open(str(folder.parent / "p.toml"))


def test_labels_are_translated_to_categories(folder: Path) -> None:
    text = "the lazy dog jumps over the quick brown fox"
    probabilities = Classifier.load(folder).probabilities([text])[0]
    scores = open_policy(folder, 'labels = {rude = "harassment"}').judge(text, "answer", complete=True).scores
    expected = {"threat": probabilities["threat"], "harassment": probabilities["rude"]}
    assert scores == pytest.approx({name: value for name, value in expected.items() if value >= 0.05})


def test_a_long_text_is_judged_in_pieces(folder: Path) -> None:
    decision = open_policy(folder, 'labels = {rude = "harassment"}').judge("the fox \U0001f600" * 300, "answer")
    assert not decision.failed
    assert not open_policy(folder).judge(" \n " * 300, "answer").scores


def test_labels_that_do_not_fit_are_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"tiers\.labels\.cruel.*no such label.*fine, threat, rude"):
        open_policy(folder, 'labels = {cruel = "harassment"}')


def test_the_fingerprint_depends_on_the_meaning_of_labels(folder: Path) -> None:
    prints = {
        open_policy(folder, f'labels = {{rude = "{name}"}}').fingerprint()["classifier"] for name in ("hate", "threat")
    }
    assert len(prints) == 2
