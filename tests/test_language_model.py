"""`LanguageModel`: loading, saving, generating and streaming."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import lmcraft
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.language_model import LanguageModel
from tests.inference.helpers import language_model, tokenizer
from tests.tiny import tiny_dataset, tiny_model

PROMPT = "从前 there was"


def test_load_encode_generate_and_decode(tmp_path: Path) -> None:
    language_model().save(tmp_path / "my-model")

    model = lmcraft.load(tmp_path / "my-model")
    input_ids = model.tokenizer.encode("Once upon a time")
    output = model.generate(input_ids, max_length=100, do_sample=True, top_p=0.95, temperature=0.7)
    text = model.tokenizer.decode(output[0], skip_special_tokens=True)

    assert text.startswith("Once upon a time") and len(input_ids) < len(output[0]) <= 100


def test_same_seed_same_text() -> None:
    model = language_model()
    texts = [model.complete(PROMPT, seed=seed, max_new_tokens=40) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert model.complete(PROMPT) != model.complete(PROMPT)


def test_stream_generate_and_complete_give_the_same_text() -> None:
    model = language_model()
    settings: dict[str, Any] = {"seed": 3, "max_new_tokens": 120}
    pieces = list(model.stream(PROMPT, **settings))
    ids = model.tokenizer.encode(PROMPT)
    whole = model.generate(ids, **settings)[0]
    assert whole[: len(ids)] == ids
    assert "".join(pieces) == model.complete(PROMPT, **settings) == model.tokenizer.decode(whole[len(ids) :])
    assert all(pieces)


def test_a_batch_equals_its_rows() -> None:
    model = language_model()
    prompts = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]
    settings: dict[str, Any] = {"seed": 3, "max_new_tokens": 10, "num_return_sequences": 2}
    rows = model.generate(prompts, **settings)
    assert rows == [row for prompt in prompts for row in model.generate(prompt, **settings)]
    assert rows[0] != rows[1] and len(rows) == 6
    assert model.generate(prompts[0], **settings) == rows[:2]


@pytest.mark.parametrize("prompt", [["a", "b"], [1.5], [None]])
def test_prompts_of_other_types_are_refused(prompt: Any) -> None:
    with pytest.raises(UserError, match="among its token ids: give one text, or whole numbers"):
        language_model().complete(prompt)


def test_settings_are_checked_before_the_first_token_is_asked_for() -> None:
    with pytest.raises(UserError, match="logit_bias names the token 99999"):
        language_model().tokens(PROMPT, logit_bias={99999: 5.0})


def test_stop_strings_end_token_ids_too() -> None:
    model = language_model()
    text = model.complete(PROMPT, seed=5)
    ids = model.tokenizer.encode(PROMPT)
    stopped = model.generate(ids, seed=5, stop=text[10:13])[0]
    assert text[10:13] in model.tokenizer.decode(stopped) and len(stopped) < len(ids) + 128
    assert model.complete(PROMPT, seed=5, stop=text[10:13]) == text[: text.index(text[10:13])]


def test_an_empty_prompt_starts_a_text() -> None:
    model = language_model()
    assert model.complete("", seed=0) == model.tokenizer.decode(model.generate([tokenizer().eos_token_id or 0], seed=0)[0])
    with pytest.raises(UserError, match="no tokens"):
        model.generate([])


def test_invalid_requests_are_refused(tmp_path: Path) -> None:
    model = language_model()
    with pytest.raises(UserError, match=r"no setting 'attention_mask': give the prompts one by one, .* without padding"):
        model.generate([[3, 4], [5, 6]], attention_mask=[[0, 1], [1, 1]])
    with pytest.raises(UserError, match="no setting 'max_tokens': the nearest is 'max_new_tokens'"):
        model.complete(PROMPT, max_tokens=3)
    with pytest.raises(UserError, match="num_return_sequences=2 does not fit into one text"):
        model.stream(PROMPT, num_return_sequences=2)
    with pytest.raises(UserError, match="use the model's own tokenizer"):
        LanguageModel(tiny_model(), tokenizer())
    model.save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="no tokenizer at"):
        LanguageModel.load(tmp_path)


def test_a_saved_folder_keeps_the_generation_settings(tmp_path: Path) -> None:
    config = GenerationConfig(temperature=0.6, top_k=20, stop=("\n\n",), logit_bias={3: -1.0}, presence_penalty=0.5, seed=1)
    LanguageModel(language_model().transformer, tokenizer(), config, eos_token_ids=(0, 7)).save(tmp_path)
    loaded = LanguageModel.load(tmp_path, dtype=torch.bfloat16)
    assert loaded.generation_config == GenerationConfig(**{**vars(config), "seed": None})
    assert loaded.eos_token_ids == (0, 7)
    assert loaded.transformer.compute_dtype == torch.bfloat16
    assert isinstance(loaded.complete(PROMPT), str)


@pytest.mark.parametrize(
    "config",
    [
        GenerationConfig(),
        GenerationConfig(temperature=0),
        GenerationConfig(top_p=0.9, repetition_penalty=1.1),
        GenerationConfig(max_new_tokens=0, max_length=200),
        GenerationConfig(do_sample=False, num_beams=3, early_stopping="never"),
    ],
)
def test_transformers_reads_the_generation_settings(config: GenerationConfig, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    LanguageModel(language_model().transformer, tokenizer(), config).save(tmp_path)
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path)
    assert (theirs.do_sample, theirs.top_k, theirs.eos_token_id) == (not config.greedy, 0, tokenizer().eos_token_id)
    assert "max_new_tokens" not in json.loads((tmp_path / "generation_config.json").read_text())
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.generate(torch.tensor([[5, 6]]), max_new_tokens=3).shape[1] <= 5


def test_generation_settings_of_a_folder_from_transformers(tmp_path: Path) -> None:
    model = language_model()
    model.save(tmp_path)
    file = tmp_path / "generation_config.json"
    file.write_text('{"temperature": 0.6, "top_k": 20, "eos_token_id": [4, 5], "pad_token_id": 9, "unknown": {}}')
    loaded = LanguageModel.load(tmp_path)
    assert loaded.generation_config == GenerationConfig(temperature=0.6, top_k=20)
    assert loaded.eos_token_ids == (4, 5, tokenizer().eos_token_id)
    file.write_text('{"top_p": 3}')
    with pytest.raises(UserError, match=r"generation_config\.json': top_p=3"):
        LanguageModel.load(tmp_path)
    file.write_text("[")
    with pytest.raises(UserError, match="damaged"):
        LanguageModel.load(tmp_path)
    file.unlink()
    assert LanguageModel.load(tmp_path).eos_token_ids == (tokenizer().eos_token_id,)


def test_a_failed_save_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = language_model()
    model.save(tmp_path)
    (tmp_path / "README.md").write_text("stays")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full_disk(folder: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(model.tokenizer, "save", full_disk)
    with torch.no_grad():
        model.transformer.embed_tokens.weight.add_(1)
    with pytest.raises(OSError, match="no space"):
        model.save(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_saved_model_replaces_a_model(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "new" / "model")
    language_model().save(folder)
    (folder.path / "notes.txt").write_text("mine")
    (folder.path / "README.md").write_text("mine")
    language_model(seed=1).save(str(folder.path))
    assert (folder.path / "notes.txt").read_text() == "mine"
    embeddings = [model.transformer.embed_tokens.weight for model in (lmcraft.load(folder), language_model(seed=1))]
    assert torch.equal(*embeddings)


def _dataset(path: Path) -> None:
    tiny_dataset(path.parent).rename(path)


def _run(path: Path) -> None:
    language_model().save(path)
    run = ModelFolder(path)
    run.run.mkdir()
    run.config_toml.write_text("depth = 1")


def _started_run(path: Path) -> None:
    (path / "lmcraft").mkdir(parents=True)
    (path / "lmcraft" / "run.toml").write_text("depth = 1")


def _notes(path: Path) -> None:
    path.mkdir()
    (path / "tokenizer.json").write_text("mine")


def _file(path: Path) -> None:
    path.write_text("mine")


@pytest.mark.parametrize("make", [_dataset, _run, _started_run, _notes, _file])
def test_a_model_is_saved_over_nothing_else(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "out"
    make(path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match=r"out' (holds a|is neither empty nor|is not a folder)"):
        language_model().save(path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "folder='' is empty"),
        (None, "folder=None is not a path"),
        ("a\0b", "is not a valid path"),
        ("model.txt", "is the name of a file"),
        ("file/model", "a part of the path is a file"),
        ("/proc/model", "'/proc/model' (does not exist|cannot)"),
    ],
)
def test_a_path_that_cannot_hold_a_model_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=message):
        language_model().save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


class _NoFeedForward(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


def test_a_model_with_a_replaced_layer_is_not_saved(tmp_path: Path) -> None:
    model = language_model()
    layer: Any = model.transformer.layers[1]
    original, layer.feed_forward = layer.feed_forward, _NoFeedForward()
    with pytest.raises(UserError, match=r"it has _NoFeedForward in place of 'layers\.1\.feed_forward': put"):
        model.save(tmp_path / "out")
    layer.feed_forward = original
    layer.feed_forward.up_proj.bias = torch.nn.Parameter(torch.zeros(48))
    with pytest.raises(UserError, match=r"it has the tensor 'layers\.1\.feed_forward\.up_proj\.bias'"):
        model.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prompt", [None, 5, b"text", {"role": "user"}])
def test_a_prompt_that_is_neither_text_nor_tokens_is_named(prompt: Any) -> None:
    model = language_model()
    with pytest.raises(UserError, match=r"the prompt .* is neither a text nor a list of token ids"):
        model.complete(prompt)
    with pytest.raises(UserError, match=r"token ids must be the integers of one text"):
        model.generate(prompt)
    if not isinstance(prompt, bytes):
        with pytest.raises(UserError, match=r" is not a text: give a str"):
            model.tokenizer.encode(prompt)


def test_logits_need_tokens_of_the_vocabulary() -> None:
    with pytest.raises(UserError, match="the prompt has no tokens"):
        language_model().compute_logits([])
    with pytest.raises(UserError, match="the prompt has token 9999"):
        language_model().compute_logits([9999])


def test_activations_of_a_text_are_those_of_its_token_ids() -> None:
    model = language_model()
    ids = model.tokenizer.encode("The fox")
    logits, cache = model.run_with_cache("The fox")
    torch.testing.assert_close(logits[0], model.compute_logits(ids))
    assert cache["hook_embed"].shape == (1, len(ids), model.transformer.config.hidden_size)
    clear = [("blocks.0.hook_mlp_out", lambda value, point: torch.zeros_like(value))]
    assert torch.equal(model.run_with_hooks(ids, clear), model.run_with_cache(ids, "hook_embed", fwd_hooks=clear)[0])
    with pytest.raises(UserError, match="token 9999"):
        model.run_with_cache([9999])
