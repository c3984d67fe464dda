"""Every family against transformers, on tiny random models: folders open in both programs, and the logits agree.

`pytest tests/parity/test_families.py -k NAME` runs the cases of one model type.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.kv_cache import KVCache
from lmcraft.inference.plain_generation import generate
from lmcraft.model.storage import load_model, save_model
from lmcraft.model.transformer import Transformer
from tests.parity.cases import CASES, NO_TOKENS, OPEN, assert_close, assert_greedy, saved, their_logits, theirs
from tests.parity.cases.case import Case

transformers = pytest.importorskip("transformers")


@dataclass(frozen=True)
class Pair:
    """One model in both programs."""

    name: str
    case: Case
    theirs: Any
    ours: Transformer

    def ids(self, length: int = 0) -> Tensor:
        """Random token ids, (2, T); T is the last length of the case if 0."""
        generator = torch.Generator().manual_seed(1)
        return torch.randint(1, self.ours.config.vocab_size, (2, length or self.case.lengths[-1]), generator=generator)


@pytest.fixture(scope="module", params=OPEN)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    name = request.param
    return Pair(name, CASES[name], theirs(name), load_model(saved(theirs(name), tmp_path_factory.mktemp(name))))


@torch.inference_mode()
def test_logits_agree(pair: Pair) -> None:
    assert pair.ours.config.family == (pair.case.language_part or pair.case.model_type)
    for length in pair.case.lengths:
        ids = pair.ids(length)
        assert_close(pair.ours(ids), their_logits(pair.theirs, ids), pair.case.tolerance)


@torch.inference_mode()
def test_logits_agree_with_a_cache(pair: Pair) -> None:
    """A prompt in chunks of odd sizes, tokens one by one, then the remainder at once."""
    ids, cache = pair.ids(), KVCache(pair.ours.config)
    parts = ids.split([5, 19, 1, 1, 1, 13, ids.shape[1] - 40], dim=1)
    logits = torch.cat([pair.ours(part, cache=cache) for part in parts], dim=1)
    assert_close(logits, their_logits(pair.theirs, ids), pair.case.tolerance)


@torch.inference_mode()
def test_rows_padded_on_the_left_agree(pair: Pair) -> None:
    if pair.case.padding:
        pytest.skip(f"transformers {pair.case.padding}")
    ids = pair.ids(40)
    real = torch.ones_like(ids)
    real[1, :13] = 0
    ids[1, :13] = 0
    expected = their_logits(pair.theirs, ids, real)
    assert_close(pair.ours(ids, document_ids=real)[real.bool()], expected[real.bool()], pair.case.tolerance)
    assert_close(pair.ours(ids[1:, 13:])[0], expected[1, 13:], pair.case.tolerance)


@torch.inference_mode()
def test_documents_of_a_packed_row_stand_alone(pair: Pair) -> None:
    ids = pair.ids(45)
    documents = torch.tensor([[0] * 17 + [1] * 1 + [2] * 27, [0] * 2 + [1] * 40 + [2] * 3])
    packed = pair.ours(ids, document_ids=documents)
    for row in range(2):
        for document in range(3):
            of_document = documents[row] == document
            alone = pair.ours(ids[row : row + 1, of_document])[0]
            assert_close(packed[row, of_document], alone, pair.case.tolerance)


def test_greedy_texts_agree(pair: Pair) -> None:
    if pair.name != pair.case.model_type:
        pytest.skip("one case of each family is enough")
    prompt = pair.ids(8)[0].tolist()
    config = GenerationConfig(do_sample=False, max_new_tokens=64)
    assert_greedy(pair.name, prompt, [token.id for token in generate(pair.ours, prompt, config)])


@torch.inference_mode()
def test_saved_folders_open_in_transformers(pair: Pair, tmp_path: Path) -> None:
    save_model(pair.ours, tmp_path, NO_TOKENS)
    back, info = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    ids = pair.ids()
    if pair.case.language_part:
        assert_close(their_logits(back, ids), their_logits(pair.theirs, ids), 1e-6)
    else:
        assert type(back) is type(pair.theirs)
        for (key, before), after in zip(pair.theirs.state_dict().items(), back.state_dict().values(), strict=True):
            assert torch.equal(before, after), key
        assert torch.equal(their_logits(back, ids), their_logits(pair.theirs, ids))
    again = load_model(tmp_path)
    assert again.config == pair.ours.config
    for (key, before), after in zip(pair.ours.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(before, after), key


def test_gradients_agree(pair: Pair) -> None:
    ids, weights = pair.ids(40), (pair.theirs.get_input_embeddings().weight, pair.ours.embed_tokens.weight)
    gradients = []
    for logits, weight in zip((their_logits(pair.theirs, ids), pair.ours(ids)), weights, strict=True):
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        gradients += torch.autograd.grad(loss, weight)
    assert_close(gradients[1], gradients[0], 10 * pair.case.tolerance)
