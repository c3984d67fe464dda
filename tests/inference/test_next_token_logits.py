import pytest
import torch

from lmcraft.inference.next_token_logits import NextTokenLogits


def test_argmax_logsumexp_and_the_top_tokens() -> None:
    logits_RV = torch.tensor([[0.0, 3.0, 1.0, 3.0], [2.0, -1.0, 0.0, 1.0]])
    logits = NextTokenLogits.of(logits_RV)
    assert list(logits.argmax) == [1, 0]
    assert logits.logsumexp == pytest.approx(logits_RV.logsumexp(dim=-1).tolist())
    assert logits.top(0, 0) == ()
    ids, logprobs = zip(*logits.top(1, 9), strict=True)
    assert ids == (0, 3, 2, 1)
    assert logprobs == pytest.approx(logits_RV[1].log_softmax(dim=-1)[[0, 3, 2, 1]].tolist())
