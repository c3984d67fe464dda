import pytest
import torch

from lmcraft import LanguageModel
from lmcraft.errors import UserError
from lmcraft.interpretability.lenses import read_lens
from lmcraft.interpretability.lenses.readout import lens_logits
from lmcraft.tokenizer.train import train_bpe
from tests.interpretability.lenses.lens import identity_lens, lens_of
from tests.tiny import GPT2, TEXT, tiny_model

IDS = [5, 17, 3, 60, 22]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel(tiny_model(vocab_size=300, num_hidden_layers=3), train_bpe([TEXT], vocab_size=300))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("settings", [{}, GPT2], ids=["default", "gpt2"])
def test_after_the_last_layer_a_lens_reads_what_the_model_says(dtype: torch.dtype, settings: dict) -> None:
    network = tiny_model(**settings).to(dtype)
    network.compute_dtype = dtype
    ids = torch.tensor([IDS])
    with torch.inference_mode():
        logits, streams = network.run_with_cache(ids, "blocks.1.hook_resid_post")
        stream = streams["blocks.1.hook_resid_post"]
        assert torch.equal(lens_logits(network, None, 1, stream), logits.float())
        assert torch.equal(lens_logits(network, identity_lens(network), 1, stream), logits.float())


def test_with_the_identity_the_jacobian_lens_is_the_logit_lens(model: LanguageModel) -> None:
    logit, jacobian = read_lens(model, IDS), read_lens(model, IDS, identity_lens(model.transformer))
    assert (logit.kind, jacobian.kind) == ("logit", "jacobian")
    assert jacobian.ranks == logit.ranks
    assert jacobian.choices == logit.choices


def test_ranks_and_choices(model: LanguageModel) -> None:
    lens = read_lens(model, IDS, choices=3)
    logits = model.compute_logits(IDS)
    assert lens.layers == [0, 1, 2]
    for position, row in enumerate(logits):
        target = IDS[position + 1] if position + 1 < len(IDS) else int(row.argmax())
        assert lens.ranks[2][position] == 1 + sum(row > row[target])
        assert [choice.id for choice in lens.choices[2][position]] == row.topk(3).indices.tolist()
        assert lens.choices[2][position][0].probability == pytest.approx(float(row.softmax(0).max()), rel=1e-4)
    assert lens.ranks[2][-1] == 1


def test_the_jacobian_is_applied_to_the_stream(model: LanguageModel) -> None:
    matrices = torch.randn(2, 32, 32)
    lens = read_lens(model, IDS, lens_of(matrices), layers=[1], positions=[2])
    stream = model.transformer.run_with_cache(torch.tensor([IDS]), "blocks.1.hook_resid_post")[1]["blocks.1.hook_resid_post"]
    with torch.inference_mode():
        logits = model.transformer.logits(model.transformer.norm(matrices[1] @ stream[0, 2]))
    assert lens.choices[0][0][0].id == int(logits.argmax())


def test_some_layers_and_positions(model: LanguageModel) -> None:
    whole = read_lens(model, IDS)
    lens = read_lens(model, IDS, layers=[-1, 0], positions=[-1, 1])
    assert lens.layers == [2, 0]
    assert lens.ranks == [[whole.ranks[layer][4], whole.ranks[layer][1]] for layer in (2, 0)]
    for arguments in ({"layers": [3]}, {"positions": [5]}, {"positions": [-6]}):
        with pytest.raises(UserError, match="does not exist: use 0 to"):
            read_lens(model, IDS, **arguments)


def test_reading_can_be_stopped(model: LanguageModel) -> None:
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        read_lens(model, IDS, on_layer=stop)
    assert len(calls) == 2


def test_invalid_texts_and_lenses_are_refused(model: LanguageModel) -> None:
    for ids in ([], [300], [0] * 65):
        with pytest.raises(UserError):
            read_lens(model, ids)
    with pytest.raises(UserError, match="a model with 2 layers of width 8, and this one has 3 of width 32: fit it again"):
        read_lens(model, IDS, lens_of(torch.eye(8)[None]))
