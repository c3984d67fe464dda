import pytest
import torch

from lmcraft import LanguageModel
from lmcraft.errors import UserError
from lmcraft.interpretability.lenses import check_swap
from lmcraft.interpretability.lenses.jacobian import token_directions
from lmcraft.interpretability.lenses.swap import Swap, middle_layers
from lmcraft.model.hooks import HookPoint
from lmcraft.tokenizer.train import train_bpe
from tests.interpretability.lenses.lens import lens_of
from tests.tiny import TEXT, tiny_model

IDS = [5, 17, 3, 60, 22]
POINT = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel(tiny_model(vocab_size=300, num_hidden_layers=3), train_bpe([TEXT], vocab_size=300))


def test_the_middle_layers() -> None:
    assert middle_layers(30) == list(range(11, 27))
    assert middle_layers(2) == [0]
    assert middle_layers(1) == [0]


def test_a_swap_exchanges_two_coordinates_and_nothing_else(model: LanguageModel) -> None:
    network, lens = model.transformer, lens_of(torch.randn(2, 32, 32))
    swap = Swap(network, lens, IDS, (7, 8), [1])
    clean = network.run_with_cache(torch.tensor([IDS]), POINT)[1][POINT].detach()
    [function] = [swap._exchange(1, clean)]
    changed = function(clean, HookPoint(POINT))
    V = token_directions(network, lens, 1, (7, 8))
    inverse = torch.linalg.pinv(V)
    torch.testing.assert_close((changed @ inverse), (clean @ inverse).flip(-1), atol=1e-4, rtol=1e-3)
    projection = torch.eye(32) - inverse @ V
    torch.testing.assert_close(changed @ projection, clean @ projection, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(function(changed, HookPoint(POINT)), changed, atol=1e-4, rtol=1e-3)


def test_random_changes_are_as_large(model: LanguageModel) -> None:
    network = model.transformer
    swap = Swap(network, None, IDS, (7, 8), [0, 1])
    swap.swapped_logits()
    clean = network.run_with_cache(torch.tensor([IDS]), POINT)[1][POINT]
    run, kept = swap._run, []

    def run_and_look(functions, rows=1):
        kept.append(functions[POINT](clean.expand(rows, -1, -1), HookPoint(POINT)) - clean)
        return run(functions, rows)

    swap._run = run_and_look
    changed = swap.randomly_changed_logits(3, seed=0)
    assert changed.shape == (3, 300)
    assert not torch.equal(changed[0], changed[1])
    torch.testing.assert_close(kept[0].norm(dim=-1), swap.sizes[POINT].expand(3, -1), atol=1e-4, rtol=1e-3)


def test_the_check_of_the_last_layer_exchanges_the_answer(model: LanguageModel) -> None:
    """There the coordinates are the logits, up to the norm, so the logits change places."""
    check = check_swap(model, IDS, layers=[2])
    assert check.expected == "rises"
    assert len(check.random) == 19
    assert check.before < 0 < check.after
    assert check.is_passed
    assert check.measure.startswith("logit of ")
    assert check == check_swap(model, IDS, layers=[2])


def test_invalid_tokens_and_lenses_are_refused(model: LanguageModel) -> None:
    with pytest.raises(UserError, match="the two tokens to exchange are the same"):
        check_swap(model, IDS, target=5, contrast=5)
    for arguments in ({"target": 300}, {"contrast": -1}, {"jacobian": lens_of(torch.eye(8)[None])}):
        with pytest.raises(UserError):
            check_swap(model, IDS, **arguments)
    with pytest.raises(UserError):
        check_swap(model, [])
