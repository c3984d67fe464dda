import torch

from lmcraft.inference.sequence_batch import SequenceBatch
from tests.tiny import tiny_model


@torch.inference_mode()
def test_logits_are_those_of_each_sequence_alone() -> None:
    model = tiny_model(1)
    batch = SequenceBatch(model, [5, 6, 7], 3)
    assert batch.next_logits().shape == (3, 96)
    for parents, ids in (([0, 1, 2], [8, 9, 10]), ([2, 0], [11, 12]), ([1, 1, 0], [13, 14, 15])):
        before = batch.tokens_BT.tolist()
        batch.extend(parents, ids)
        assert batch.tokens_BT.tolist() == [[*before[parent], i] for parent, i in zip(parents, ids, strict=True)]
        torch.testing.assert_close(batch.next_logits(), model(batch.tokens_BT)[:, -1], atol=1e-5, rtol=1e-4)
    assert batch.prompt_length == 3
