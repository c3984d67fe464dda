import torch

from lmcraft.inference.block_pool import BlockPool
from lmcraft.inference.eager_runner import EagerRunner
from lmcraft.inference.prompt_chunk import PromptChunk
from tests.inference.helpers import network, request_of, sequence_of
from tests.tiny import tiny_model


@torch.inference_mode()
def test_each_sequence_is_computed_by_the_model_of_its_adapter() -> None:
    models = {"": network(), "a": tiny_model(7, max_position_embeddings=256)}
    runner = EagerRunner(models, BlockPool(models[""].config, num_tokens=256, dtype=torch.float32))
    for name, model in models.items():
        sequence = sequence_of(request_of(20))
        runner.pool.allocate(sequence.block_table, 20)
        (scores,) = runner.prefill([PromptChunk(sequence.block_table, 0, sequence.tokens, name)])
        torch.testing.assert_close(scores.logits, model(torch.tensor([sequence.tokens]))[:, -1], atol=1e-5, rtol=1e-4)


def test_it_verifies_no_proposals() -> None:
    runner = EagerRunner({"": network()}, BlockPool(network().config, num_tokens=64))
    assert not runner.can_verify("")
    assert runner.context_length == 64  # of the pool, which is smaller than the model's
