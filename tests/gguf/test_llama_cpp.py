"""llama.cpp opens our files and gives the same results. Not in `lmcraft[test]`: pip install 'lmcraft[llama-cpp]'."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.gguf import read_gguf, write_gguf
from lmcraft.language_model import LanguageModel
from lmcraft.model.storage import build_model
from tests.assets import gemma3_gguf, smollm2_gguf
from tests.gguf.family_files import NAMES, REFUSED, ours, write
from tests.gguf.test_models import CASES, random_model, write_model
from tests.gguf.texts import TEXTS

llama_cpp = pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.slow

CONTEXT = 128
NEW_TOKENS = 32
F32 = 0  # of keys and values
# llama.cpp uses a 16-bit table for GELU, and multiplies Q8_0 by 8-bit activations.
TOLERANCE = {"f32": 5e-3, "f16": 2e-2, "q8_0": 1e-1}
FAMILY_TOLERANCE = {"f32": 1e-2, "q4_k_m": 3e-1}
# What llama.cpp computes differently, on purpose or not.
UNLIKE_LLAMA_CPP = {
    "deepseek_v2": "scores a group of experts by its two best, as for DeepSeek V3",
    "phi3": "has no windows",
    "gpt_oss": "rounds the borders of YaRN's ramp",
}
PROMPTS = ("The capital of France is", "def read(path):\n", "Once upon a time", "人工智能", "1, 2, 3,")


def open_llama(path: Path, **options: Any) -> Any:
    plain = {"n_ctx": CONTEXT, "n_batch": CONTEXT, "n_threads": 1, "n_threads_batch": 1, "verbose": False}
    return llama_cpp.Llama(str(path), **{**plain, "type_k": F32, "type_v": F32, "flash_attn": False, **options})


@pytest.mark.parametrize("quantization", TOLERANCE)
@pytest.mark.parametrize("name", [name for name in CASES if name != "phi3-window"])  # llama.cpp has none for Phi
@torch.inference_mode()
def test_the_logits_agree(name: str, quantization: str, tmp_path: Path) -> None:
    path = write_model(random_model(name), tmp_path, quantization)
    # llama.cpp chooses LongRoPE's factors by the context length, we by the text length, so the text is long.
    ids = torch.randint(0, 340, (100,), generator=torch.Generator().manual_seed(1)).tolist()
    model = open_llama(path, logits_all=True)
    model.eval(ids)
    expected = build_model(read_gguf(path).checkpoint, dtype=torch.float32)(torch.tensor([ids]))[0].numpy()
    difference = np.abs(model.scores[: len(ids)] - expected).max(axis=1)
    # Rounding may route a token to another expert.
    farthest = np.quantile(difference, 0.95) if name == "qwen3_moe" else difference.max()
    assert farthest < TOLERANCE[quantization] * expected.std()


@pytest.mark.parametrize("quantization", ["f32", "q4_k_m"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED and name not in UNLIKE_LLAMA_CPP])
@torch.inference_mode()
def test_the_logits_of_families_agree(name: str, quantization: Any, tmp_path: Path) -> None:
    path = write(ours(name, tmp_path), tmp_path / "model.gguf", quantization)
    ids = torch.randint(0, 340, (72,), generator=torch.Generator().manual_seed(1)).tolist()
    model = open_llama(path, logits_all=True)
    model.eval(ids)
    expected = build_model(read_gguf(path).checkpoint, dtype=torch.float32)(torch.tensor([ids]))[0].numpy()
    difference = np.abs(model.scores[: len(ids)] - expected).max(axis=1)
    # Rounding may route a token to another expert.
    assert (
        np.quantile(difference, 0.5 if quantization == "q4_k_m" else 0.9) < FAMILY_TOLERANCE[quantization] * expected.std()
    )


@pytest.mark.assets
@pytest.mark.parametrize("quantization", ["f16", "q8_0"])
@pytest.mark.parametrize("file", [smollm2_gguf, gemma3_gguf])
@torch.inference_mode()
def test_rewritten_models_generate_the_same_text(file: Any, quantization: Any, tmp_path: Path) -> None:
    source = read_gguf(file())
    names = sorted(source.checkpoint.names)
    path = tmp_path / "again.gguf"
    tensors = ((name, source.checkpoint.read(name)) for name in names)
    write_gguf(path, source.config, tensors, source.tokenizer, quantization)
    ours = LanguageModel.load(path, dtype=torch.float32)
    theirs = open_llama(path)
    begin = [ours.tokenizer.bos_token_id] if theirs.metadata["tokenizer.ggml.add_bos_token"] == "true" else []
    for prompt in PROMPTS:
        ids = [*begin, *ours.tokenizer.encode(prompt)]
        assert theirs.tokenize(prompt.encode()) == ids
        theirs.reset()
        generated = list(islice(theirs.generate(ids, temp=0), NEW_TOKENS))
        if quantization == "f16":
            mine = ours.generate(ids, max_new_tokens=NEW_TOKENS, do_sample=False)[0][len(ids) :]
            assert generated[: len(mine)] == mine, prompt
        # llama.cpp rounds activations to 8 bits for Q8_0, so it may swap two tokens of nearly equal probability.
        logits = ours.transformer(torch.tensor([[*ids, *generated]]))[0, len(ids) - 1 : -1]
        chosen = logits.gather(1, torch.tensor(generated)[:, None])[:, 0]
        assert float((logits.max(1).values - chosen).max()) < 0.5, prompt


@pytest.mark.assets
@pytest.mark.parametrize("file", [smollm2_gguf, gemma3_gguf])
def test_real_tokenizers_match_llama_cpp(file: Any) -> None:
    ours, theirs = read_gguf(file()).tokenizer, open_llama(file(), vocab_only=True)
    for text in TEXTS:
        assert ours.encode(text) == theirs.tokenize(text.encode(), add_bos=False, special=False), text


@pytest.mark.assets
def test_a_rewritten_sentencepiece_tokenizer_matches_llama_cpp(tmp_path: Path) -> None:
    """Its merges become scores, which llama.cpp merges by."""
    source = read_gguf(gemma3_gguf())
    tensors = ((name, source.checkpoint.read(name)) for name in sorted(source.checkpoint.names))
    write_gguf(tmp_path / "again.gguf", source.config, tensors, source.tokenizer, "q8_0")
    theirs = open_llama(tmp_path / "again.gguf", vocab_only=True)
    for text in TEXTS:
        assert source.tokenizer.encode(text) == theirs.tokenize(text.encode(), add_bos=False, special=False), text
