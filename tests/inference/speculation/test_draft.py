"""A draft model: the tokens are the model's own samples, so the text and its distribution stay the same."""

from typing import Any

import pytest

from lmcraft.inference.engine import Engine
from lmcraft.inference.runner import build_runner
from lmcraft.inference.speculation.draft import DraftProposer
from lmcraft.inference.speculation.speculator import Speculator
from tests.inference.helpers import NATIVE_ONLY, network, request_of, sequence_of
from tests.tiny import tiny_model


@NATIVE_ONLY
@pytest.mark.parametrize("settings", [{"do_sample": False}, {"temperature": 0.8, "top_k": 20}, {"repetition_penalty": 1.3}])
def test_a_draft_saves_steps_and_keeps_the_text(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speculator, "best_length", lambda *arguments: 7)
    requests = [request_of(length, seed, **settings) for length, seed in ((5, 1), (40, 2), (40, 3))]
    model, other = network(), tiny_model(2, max_position_embeddings=64)
    num_steps, ids = {}, {}
    for name, draft in (("none", None), ("another", other), ("itself", model)):
        engine = Engine(model, tier="native", prompt_lookup=False, draft=draft)
        ids[name], num_steps[name] = [], 0
        for request in requests:
            running = engine.submit(request)
            while not running.finished:
                engine.step()
                num_steps[name] += 1
            ids[name].append(running.tokens)
    assert ids["none"] == ids["another"] == ids["itself"]
    assert num_steps["itself"] < num_steps["none"] / 2
    assert engine.pool.num_free_blocks == engine.pool.num_blocks


def test_it_proposes_the_text_of_the_smaller_model() -> None:
    """Also after the request has taken another turn, and up to the context's end."""
    draft = tiny_model(2)
    proposer = DraftProposer(build_runner(draft, tier="eager"))
    request = sequence_of(request_of(50, 3, do_sample=False))
    assert proposer.seconds_per_token == 0
    first = proposer.propose(request, 5)
    engine = Engine(draft, tier="eager")
    running = engine.submit(request_of(50, 3, do_sample=False, max_new_tokens=14))
    while not running.finished:
        engine.step()
    assert first == running.tokens[50 : 50 + len(first)] and 0 < len(first) <= 5
    assert proposer.seconds_per_token > 0
    request.tokens.append((first[0] + 1) % 96)
    assert len(proposer.propose(request, 100)) <= 64 - 51 + 1
