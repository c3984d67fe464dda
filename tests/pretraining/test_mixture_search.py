"""`lmcraft search` over the weights of a mixture, with real runs."""

import tomllib
from pathlib import Path

import pytest

pytest.importorskip("optuna")
pytest.importorskip("sqlalchemy")

from lmcraft.cli import main
from tests.mixed import two_sources

SPACE = """
[pretrain]
data = "DATA"
depth = 1
model = { hidden_size = 16, num_attention_heads = 1 }
sequence_length = 32
batch_size = 4
max_steps = 6
precision = "fp32"
mixture_target_tokens = 7680
mixture = { letters = 1.0, digits = { low = 0.25, high = 4.0, log = true } }
[search]
promotion = "none"
sampler = "random"
confirm = 0
"""


@pytest.mark.slow
def test_the_weight_of_a_source_is_searched(tmp_path: Path) -> None:
    data = two_sources(tmp_path)
    space, out = tmp_path / "space.toml", tmp_path / "weights"
    space.write_text(SPACE.replace("DATA", str(data.path)))
    assert main(["search", str(space), "--out", str(out), "--trials", "2"]) == 0
    best = tomllib.loads((out / "best.toml").read_text())
    assert best["mixture"]["letters"] == 1.0 and 0.25 <= best["mixture"]["digits"] <= 4
    runs = [path.read_text() for path in sorted(out.glob("trials/*/**/run.toml"))]
    weights = {tomllib.loads(text)["mixture"]["digits"] for text in runs}
    assert len(weights) == 2 and best["mixture"]["digits"] in weights
    assert main(["pretrain", str(out / "best.toml"), "--out", str(tmp_path / "model")]) == 0
