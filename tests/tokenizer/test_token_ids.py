"""Token ids as lists, tensors and arrays."""

from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.errors import UserError
from tests.inference.helpers import language_model, tokenizer

IDS = tokenizer().encode("Once upon 从前")


@pytest.mark.parametrize(
    "ids", [IDS, tuple(IDS), torch.tensor(IDS), np.array(IDS), list(torch.tensor(IDS)), list(np.array(IDS))]
)
def test_one_text(ids: Any) -> None:
    model = language_model()
    assert tokenizer().decode(ids) == "Once upon 从前"
    assert tokenizer().decode_bytes(ids).decode() == "Once upon 从前"
    settings: dict[str, Any] = {"max_new_tokens": 3, "do_sample": False}
    assert model.generate(ids, **settings) == model.generate(IDS, **settings)
    assert len(list(model.tokens(ids, **settings))) == 3


@pytest.mark.parametrize(
    "rows", [[IDS, IDS], torch.tensor([IDS, IDS]), np.array([IDS, IDS]), [torch.tensor(IDS)] * 2, (np.array(IDS),) * 2]
)
def test_several_texts(rows: Any) -> None:
    model = language_model()
    assert tokenizer().decode_batch(rows) == ["Once upon 从前"] * 2
    settings: dict[str, Any] = {"max_new_tokens": 3, "do_sample": False}
    assert model.generate(rows, **settings) == model.generate([IDS, IDS], **settings)


@pytest.mark.parametrize("ids", [torch.tensor([[1, 2]]), torch.tensor([1.0]), [[1, 2]], ["a"], [None], 5, torch.tensor(5)])
def test_anything_else_is_an_error(ids: Any) -> None:
    with pytest.raises(UserError, match="token ids must be the integers of one text, not "):
        tokenizer().decode(ids)


@pytest.mark.parametrize("ids", [torch.zeros(1, 1, 2, dtype=torch.long), [1.5], "text", 5, None])
def test_generate_refuses_anything_else(ids: Any) -> None:
    with pytest.raises(UserError, match="token ids must be the integers of one text, not "):
        language_model().generate(ids)
