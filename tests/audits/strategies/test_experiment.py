"""The experiment file, and its errors."""

from pathlib import Path

import pytest

from lmcraft.audits.strategies.experiment import read_experiment
from lmcraft.errors import UserError
from tests.audits.strategies.conftest import EXPERIMENT

BASELINE = "[[strategy]]\n"


def test_strategies_are_named_by_what_they_use(experiment_folder: Path) -> None:
    file = _write(experiment_folder, EXPERIMENT + BASELINE + '[[strategy]]\nuse = ["filter", "steering"]\n')
    experiment = read_experiment(file)
    assert [strategy.name for strategy in experiment.strategies] == ["baseline", "filter + steering"]
    assert experiment.policy == str(experiment_folder / "policy.toml")
    assert experiment.tables["pretrain"]["model"] == {"num_hidden_layers": 1, "hidden_size": 32, "head_dim": 16}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[strategy]]", "", "there is no strategy"),
        ("[[strategy]]", '[[strategy]]\nuse = ["filtre"]', "'filtre' is no part of a strategy: use filter"),
        ("[[strategy]]", '[[strategy]]\nuse = ["filter", "balance"]', "filter and balance exclude each other"),
        ("[[strategy]]", '[[strategy]]\nuse = ["kl", "kl"]', "names 'kl' twice"),
        ("[[strategy]]", "[[strategy]]\n[[strategy]]", "two strategies are called 'baseline'"),
        ("[[strategy]]", "[[strategy]]\nuses = []", "has no setting 'uses'"),
        ("seeds = [1, 2]", "seeds = [1, 1]", r"seeds=\[1, 1\] must be different"),
        ("seeds = [1, 2]", "seeds = []", r"seeds=\[\] must be different"),
        ('judge = "judge.toml"', 'judge = "policy.toml"', "judge='policy.toml' must be another policy"),
        ('judge = "judge.toml"', "", "judge='' must be another policy"),
        ('clean = ["clean.jsonl"]', "clean = []", "corpus.clean names no file"),
        ("toxic_share = 0.3", "toxic_share = 1.5", "corpus.toxic_share=1.5 is out of range"),
        ("target_share = 0.1", "target_share = 0.4", "corpus.target_share=0.4 must be"),
        ("tuning_share = 0.5", "tuning_share = 0", "tuning_share=0 is out of range"),
        ("samples = 4", "samples = 0", "measure.samples=0 must be at least 1"),
        ("samples = 4", "sampels = 4", "there is no setting 'sampels': did you mean 'samples'"),
        ("max_steps = 8", "", "pretrain.max_steps=0 must be the number of steps"),
        ("max_steps = 8", "max_steps = -3", "pretrain.max_steps=-3 must be"),
        ("samples = 4", "samples = 4\nsteering_strength = -1", "measure.steering_strength=-1 must not be negative"),
        ("[[strategy]]", "[[strategy]]\nsteering_strength = 1", "steering_strength=1 needs steering"),
        ("[[strategy]]", '[[strategy]]\nuse = ["steering"]\nsteering_strength = -1', "=-1 must not be negative"),
        ("[[strategy]]", '[[strategy]]\nname = " "', "name=' ' is empty"),
        ("[attack]", "[dpo]\nbeta = -1\n[attack]", r"\[dpo\] beta=-1"),
        ("[attack]", "[kl]\nklx = 1\n[attack]", "klx"),
        ("[attack]", "[tuning]\nepochs = 0\n[attack]", r"\[tuning\] epochs=0"),
        ("batch_size = 2\nsequence", "batchsize = 2\nsequence", "batchsize"),
        ("[pretrain]", '[pretrain]\nout = "x"', "pretrain.out is set by the comparison"),
        ("[attack]", "[attack]\nseed = 3", "attack.seed is set by the comparison"),
        ("[attack]", "[attacks]", "there is no setting 'attacks'"),
    ],
)
def test_errors_name_file_and_setting(experiment_folder: Path, old: str, new: str, message: str) -> None:
    text = EXPERIMENT + BASELINE
    assert old in text
    file = _write(experiment_folder, text.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        read_experiment(file)
    assert str(file) in str(caught.value)


def _write(folder: Path, text: str) -> Path:
    file = folder / "experiment.toml"
    file.write_text(text)
    return file
