"""Opening models from folders and adapters."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, write_json
from lmcraft.language_model import LanguageModel
from lmcraft.lineage.record import read_lineage, write_lineage
from lmcraft.model_source import open_adapter, open_model
from lmcraft.tokenizer.train import train_bpe
from tests.finetuning.chat import chat_folder, chat_model, chat_tokenizer
from tests.tiny import TEXT, tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-Q4_K_M"
    LanguageModel(tiny_model(vocab_size=300), train_bpe([TEXT], vocab_size=300)).save(path)
    return path


def test_a_model_folder_has_a_name_a_license_and_an_origin(folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    with open_model(folder) as source:
        assert (source.name, source.license, source.address) == ("tiny", "apache-2.0", str(folder))
        by_weights = source.fingerprint
        assert source.checkpoint.config().vocab_size == 300 and source.tokenizer.vocab_size == 300
    write_lineage(ModelFolder(folder), "pull", source="hf:a/tiny@main", license="mit")
    with open_model(folder) as source:
        assert (source.address, source.license) == ("hf:a/tiny@main", "mit") and source.fingerprint != by_weights


def test_damaged_lineage_and_missing_adapters_are_user_errors(folder: Path) -> None:
    with pytest.raises(UserError, match="is not an adapter"):
        open_adapter(folder)
    write_json(ModelFolder(folder).lineage, [])
    with pytest.raises(UserError, match="is not a JSON object"):
        read_lineage(folder)
    ModelFolder(folder).lineage.write_text("{")
    with pytest.raises(UserError, match="is damaged: it is not valid JSON"):
        read_lineage(folder)


def test_a_text_ends_at_every_end_token_that_the_files_name(tmp_path: Path) -> None:
    tokenizer = chat_tokenizer()
    model = LanguageModel(chat_model(), tokenizer)
    model.save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    write_json(tmp_path / "tokenizer_config.json", {**settings, "eos_token": "<|endoftext|>"})
    for listed, expected in ((None, ()), (9, (9,)), ([9, 8], (9, 8))):
        write_json(tmp_path / "generation_config.json", {"eos_token_id": listed})
        with open_model(tmp_path) as source:
            ends = ("<|endoftext|>", "<|im_end|>")
            assert source.eos_token_ids == (*expected, *(tokenizer.id_of(token) for token in ends))
    write_json(tmp_path / "generation_config.json", {"eos_token_id": "x"})
    with pytest.raises(UserError, match="eos_token_id='x' is not a token id"):
        LanguageModel.load(tmp_path)


@pytest.mark.parametrize("in_vocabulary", [False, True])
def test_special_tokens_that_the_model_lacks_are_left_out(in_vocabulary: bool, tmp_path: Path) -> None:
    size = chat_tokenizer().vocab_size
    chat_folder(tmp_path)
    file, config = tmp_path / "tokenizer.json", tmp_path / "tokenizer_config.json"
    contents = json.loads(file.read_text())
    added = {"id": size, "content": "<pad>", "special": True, "normalized": False}
    contents["added_tokens"].append(added | {"single_word": False, "lstrip": False, "rstrip": False})
    if in_vocabulary:
        contents["model"]["vocab"]["<pad>"] = size
    file.write_text(json.dumps(contents))
    settings = json.loads(config.read_text())
    write_json(config, settings | {"pad_token": "<pad>"})
    model = LanguageModel.load(tmp_path)
    assert model.tokenizer.vocab_size == size and model.tokenizer.pad_token_id is None
    assert model.tokenizer.encode("<pad> text") == chat_tokenizer().encode("<pad> text")
    write_json(config, settings | {"chat_template": "<pad>"})
    with pytest.raises(UserError, match=f"the tokenizer has {size + 1} tokens"):
        LanguageModel.load(tmp_path)


def test_an_adapter_that_is_its_own_base_is_refused(folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    save_file({"base_model.model.lm_head.weight": torch.zeros(2, 2)}, adapter / "adapter_model.safetensors")
    write_json(adapter / "adapter_config.json", {"peft_type": "LORA", "base_model_name_or_path": str(adapter)})
    with pytest.raises(UserError, match="is its own base model"):
        LanguageModel.load(adapter)


@pytest.mark.parametrize("license_text", ["&a [x, x]", "3", "{a: b}"])
def test_a_license_that_is_no_text_is_left_out(license_text: str, folder: Path) -> None:
    (folder / "README.md").write_text(f"---\nlicense: {license_text}\n---\n")
    with open_model(folder) as source:
        assert source.license == ""


@pytest.mark.parametrize("base", ["/gone/base", "../base", "./base", "~/no/base", "empty"])
def test_an_adapter_whose_base_model_was_moved_names_itself_and_the_setting(base: str, tmp_path: Path) -> None:
    adapter, empty = tmp_path / "adapter", tmp_path / "empty"
    adapter.mkdir()
    empty.mkdir()
    save_file({"base_model.model.lm_head.weight": torch.zeros(2, 2)}, adapter / "adapter_model.safetensors")
    address = str(empty) if base == "empty" else base
    write_json(adapter / "adapter_config.json", {"peft_type": "LORA", "base_model_name_or_path": address})
    words = r"the base model of the adapter '.*/adapter' cannot be opened: .*; .*/adapter_config.json names it in base_model"
    with pytest.raises(UserError, match=words), open_model(adapter):
        pass


@pytest.mark.parametrize("has_own", [True, False])
def test_a_base_models_tokenizer_is_read_only_if_the_adapter_has_none(has_own: bool, folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "base_model_name_or_path": str(folder)}
    write_json(adapter / "adapter_config.json", settings)
    config = json.loads((folder / "config.json").read_text())
    module = "base_model.model.model.layers.0.mlp.down_proj"
    a, b = torch.zeros(2, config["intermediate_size"]), torch.zeros(config["hidden_size"], 2)
    save_file({f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}, adapter / "adapter_model.safetensors")
    if has_own:
        (folder / "tokenizer.json").rename(adapter / "tokenizer.json")
    with open_model(adapter) as source:
        assert source.base is not None and ("tokenizer" in vars(source.base)) != has_own
        assert source.tokenizer.encode("a") and not source.lineage
        parents = source.origin("base").lineage
        assert parents is not None and [origin.address for origin in parents.parents] == [str(folder)]
