"""An encoder behind the server: embeddings as sentence-transformers makes them, labels, and no texts."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from lmcraft.cli import main
from lmcraft.finetuning.head import HEAD, Labels, add_head
from lmcraft.finetuning.text_classifier import Classifier
from lmcraft.model.storage import load_model
from tests.parity.cases.case import EQUAL_HEADS
from tests.server.tiny_server import Server, running

transformers = pytest.importorskip("transformers")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog"]]


def write_encoder(folder: Path, pooling: str) -> None:
    """A tiny random BERT with a tokenizer that puts [CLS] and [SEP] around each text."""
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(**EQUAL_HEADS))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))  # type: ignore[call-arg]
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))  # type: ignore[assignment]
    tokenizer.add_special_tokens(WORDS[:4])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "1_Pooling").mkdir()
    modes = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False, pooling: True}
    (folder / "1_Pooling/config.json").write_text(json.dumps(modes))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder") / "model"
    write_encoder(folder, "pooling_mode_cls_token")
    return folder


@pytest.fixture(scope="module")
def server(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), classifier=encoder) as server:
        yield server


@pytest.mark.parametrize("text", ["the quick brown fox", "fox " * 80])
def test_embeddings_are_the_pooled_states_of_the_whole_text(text: str, server: Server, encoder: Path) -> None:
    model = transformers.BertModel.from_pretrained(encoder).eval()
    ids = [2, *(WORDS.index(word) for word in text.split()), 3]
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).last_hidden_state[0, 0]
    body = {"model": "classifier", "input": [text, "lazy dog"]}
    answer = httpx2.post(f"{server.url}/v1/embeddings", json=body).json()
    assert answer["usage"]["prompt_tokens"] == len(ids) + 4
    torch.testing.assert_close(
        torch.tensor(answer["data"][0]["embedding"]), expected / expected.norm(), rtol=1e-4, atol=1e-5
    )


def test_an_encoder_completes_no_text(server: Server) -> None:
    answer = httpx2.post(f"{server.url}/v1/completions", json={"model": "classifier", "prompt": "the fox"})
    assert answer.status_code == 400 and "is an encoder, which cannot write" in answer.json()["error"]["message"]


@pytest.mark.parametrize("command", ["chat", "generate"])
def test_commands_that_write_text_refuse_an_encoder_at_once(
    command: str, encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(encoder), *(["the fox"] if command == "generate" else [])]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "is an encoder, which cannot write" in err and err.count("\n") == 1


def test_an_exported_encoder_keeps_its_pooling(encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    (encoder / "modules.json").write_text(json.dumps(modules))
    (encoder / "sentence_bert_config.json").write_text('{"max_seq_length": 64}')
    assert main(["export", str(encoder), str(tmp_path / "out"), "--dtype", "float16"]) == 0
    assert "checked: hidden states differ by" in (printed := capsys.readouterr().out) and "tokens agree" not in printed
    for name in ("1_Pooling/config.json", "modules.json", "sentence_bert_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (encoder / name).read_bytes()


def test_another_pooling_is_refused(server: Server, encoder: Path) -> None:
    file = encoder / "1_Pooling/config.json"
    before = file.read_text()
    file.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    try:
        answer = httpx2.post(f"{server.url}/v1/embeddings", json={"model": "classifier", "input": "the fox"})
    finally:
        file.write_text(before)
    assert (
        answer.status_code == 400 and "pooling_mode_max_tokens, which is not supported" in answer.json()["error"]["message"]
    )


@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
def test_a_classifier_reads_the_same_state_in_training_and_serving(pooling: str, encoder: Path) -> None:
    from lmcraft.inference.engine import Engine
    from lmcraft.inference.request import Request
    from lmcraft.tokenizer.tokenizer import Tokenizer as OurTokenizer

    transformer = load_model(encoder)
    add_head(transformer, 2)
    torch.nn.init.normal_(transformer.get_submodule(HEAD).weight)
    labels = Labels(("a", "b"), pooling=pooling)  # type: ignore[arg-type]
    classifier = Classifier(transformer, OurTokenizer.load(encoder), labels)
    texts = ["the quick brown fox", "lazy dog", "fox " * 30]
    engine = Engine(transformer)
    requests = [
        Request(prompt_ids=tuple(classifier.encode(text)), pooling=labels.pooling, generates=False) for text in texts
    ]
    for text, sequence, expected in zip(texts, engine.run(requests), classifier.probabilities(texts), strict=True):
        assert sequence.pooled is not None and sequence.tokens[0] == 2 and sequence.tokens[-1] == 3, text
        assert classifier.head_probabilities(sequence.pooled.vector) == pytest.approx(expected, abs=1e-5)
