"""The engine against transformers, on a tiny random model of every family: the same greedy texts, alone and together.

`pytest tests/parity/test_engine.py -k NAME` runs one of `CASES`.
"""

from functools import partial

import pytest

from lmcraft.errors import UserError
from lmcraft.inference import runner, scheduler
from lmcraft.inference.block_pool import BlockPool
from lmcraft.inference.engine import Engine
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.request import Request, SequenceState
from lmcraft.model.families import FAMILIES
from lmcraft.model.storage import load_model
from lmcraft.model.transformer import Transformer
from tests.parity.cases import CASES, assert_greedy, saved, theirs

CHUNK = 16
NAMES = [name for name, case in CASES.items() if name == case.model_type or case.language_part]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    case = CASES[request.param]
    if (case.language_part or case.model_type) not in FAMILIES:
        pytest.skip(f"lmcraft does not open {case.model_type}")
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str, tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    try:
        return load_model(saved(theirs(name), tmp_path_factory.mktemp(name)))
    except UserError:
        pytest.skip(f"lmcraft does not open this {name}")


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts in chunks of a block, so that a tiny model's prompts have several."""
    monkeypatch.setattr(scheduler, "PREFILL_CHUNK_TOKENS", CHUNK)
    monkeypatch.setattr(runner, "BlockPool", partial(BlockPool, block_tokens=CHUNK))


def run(engine: Engine, prompts: list[list[int]], num_tokens: int) -> list[SequenceState]:
    config = GenerationConfig(max_new_tokens=num_tokens, do_sample=False)
    return engine.run([Request(prompt_ids=tuple(ids), config=config) for ids in prompts])


def numbers(sequence: SequenceState) -> list[tuple[int, float]]:
    return [(token.id, token.logprob) for token in sequence.generated]


def test_greedy_texts_are_those_of_transformers(name: str, model: Transformer) -> None:
    prompt = [1 + 7 * n % 90 for n in range(20)]
    (sequence,) = run(Engine(model, cache_tokens=128), [prompt], 64)
    assert_greedy(name, prompt, sequence.tokens[len(prompt) :])


def test_requests_that_share_a_prefix_get_the_texts_that_they_get_alone(name: str, model: Transformer) -> None:
    """Eight requests, of which seven begin with two chunks that the first one has computed; bit for bit."""
    prompts = [[1 + 5 * n % 90 for n in range(2 * CHUNK)] + [3 + 11 * row] * (1 + row // 2) for row in range(8)]
    engine = Engine(model, cache_tokens=1024)
    sequences = run(engine, prompts[:1], 4) + run(engine, prompts[1:], 4)
    assert [sequence.num_cached for sequence in sequences] == [0] + 7 * [2 * CHUNK]
    for prompt, sequence in zip(prompts, sequences, strict=True):
        assert_greedy(name, prompt, sequence.tokens[len(prompt) :])
    (alone,) = run(Engine(model, cache_tokens=128), prompts[-1:], 4)
    assert numbers(alone) == numbers(sequences[-1])
