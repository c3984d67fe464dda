"""`lmcraft pull`, `inspect` and `export`, run from the command line."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from lmcraft.cli import main
from lmcraft.conversion import model_export
from lmcraft.conversion.config import ExportConfig
from lmcraft.folder import ModelFolder
from lmcraft.language_model import LanguageModel, load
from lmcraft.privacy.guarantee import Guarantee
from lmcraft.tokenizer.train import train_characters
from tests.inference.helpers import TEXT, language_model, tokenizer
from tests.reports.sections.test_privacy import GUARANTEE
from tests.tiny import tiny_model

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    language_model().save(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": CHATML}))
    return folder


def same_weights(a: LanguageModel, b: LanguageModel) -> bool:
    before, after = a.transformer.state_dict(), b.transformer.state_dict()
    return before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_inspect_describes_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder), "--json"]) == 0
    description = json.loads(capsys.readouterr().out)
    model = load(folder)
    assert description["parameters"]["total"] == description["parameters"]["active"] == model.transformer.num_parameters()
    assert description["bytes"]["bfloat16"] == 2 * model.transformer.num_parameters()
    assert (description["license"], description["tokenizer"]["chat_template"]) == ("apache-2.0", CHATML)
    assert description["architecture"]["family"] == "qwen3"
    assert main(["inspect", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "2 of keys and values" in shown and "apache-2.0" in shown and "embeddings" in shown


def test_pull_copies_a_folder_and_records_its_origin(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pulled"
    assert main(["pull", str(folder), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert (out / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    lineage = json.loads((out / "lmcraft/lineage.json").read_text())
    assert (lineage["source"], lineage["license"]) == (str(folder), "apache-2.0")
    assert main(["pull", str(folder), "--out", str(out)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["pull", str(folder), "--out", str(out), "--overwrite", "--dtype", "bfloat16"]) == 0
    assert load(out).transformer.compute_dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["keep", "float32", "bfloat16", "float16"])
def test_export_to_a_folder(folder: Path, tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["export", str(folder), str(out), "--dtype", dtype]) == 0
    assert "checked: logits differ by" in capsys.readouterr().out
    exported = load(out)
    assert str(exported.transformer.embed_tokens.weight.dtype) == f"torch.{'float32' if dtype == 'keep' else dtype}"
    assert same_weights(exported, load(folder)) == (dtype in ("keep", "float32"))
    assert (out / "README.md").exists()
    if dtype == "keep":
        from transformers import AutoModelForCausalLM

        reference = AutoModelForCausalLM.from_pretrained(out)
        ids = tokenizer().encode("Once upon a time")
        expected = reference(torch.tensor([ids])).logits
        torch.testing.assert_close(exported.transformer(torch.tensor([ids])), expected, atol=1e-4, rtol=1e-4)


def test_an_export_keeps_the_guarantee_of_its_model(folder: Path, tmp_path: Path) -> None:
    private = ModelFolder(tmp_path / "private")
    shutil.copytree(folder, private.path)
    assert main(["export", str(private.path), str(tmp_path / "ordinary")]) == 0
    private.run.mkdir(exist_ok=True)
    GUARANTEE.write(private)
    assert main(["export", str(private.path), str(tmp_path / "out")]) == 0
    kept = [Guarantee.read(ModelFolder(tmp_path / name)) for name in ("ordinary", "out")]
    assert kept == [None, GUARANTEE]


def test_a_sharded_export_is_complete_and_replaces_a_single_file(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["export", str(folder), str(out), "--max-shard-size", "0.00002"]) == 0
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2 and not (out / "model.safetensors").exists()
    model = load(out)
    assert same_weights(model, load(folder))
    model.save(out)
    assert [file.name for file in out.glob("model*")] == ["model.safetensors"]
    assert same_weights(load(out), model)


@pytest.mark.parametrize("dtype", ["keep", "float16", "bfloat16", "q8_0", "q4_k_m"])
def test_export_to_gguf_and_back(folder: Path, tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gguf")
    file, out = tmp_path / "tiny.gguf", tmp_path / "again"
    assert main(["export", str(folder), str(file), "--dtype", dtype]) == 0
    assert main(["pull", str(file), "--out", str(out)]) == 0
    original, again = load(folder), load(out)
    assert same_weights(original, again) == (dtype == "keep")
    assert again.tokenizer.chat_template == CHATML and again.eos_token_ids == original.eos_token_ids
    text = "Once upon 从前 12345 🙂\n  x"
    assert again.tokenizer.encode(text) == original.tokenizer.encode(text)
    assert json.loads((out / "lmcraft/lineage.json").read_text())["license"] == "apache-2.0"
    assert main(["generate", f"gguf:{file}", "Once", "--max-new-tokens", "3", "--seed", "1"]) == 0


@pytest.mark.parametrize(
    ("out", "kind"), [("a.gguf", "gguf"), ("a.GGUF", "gguf"), (".gguf", "gguf"), ("gguf", "hf"), ("a.gguf.d", "hf")]
)
def test_the_name_of_the_output_chooses_the_format(out: str, kind: str) -> None:
    assert ExportConfig("m", Path(out)).kind == kind


def test_a_model_that_gguf_cannot_express_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gguf")
    language_model(norm="layernorm").save(tmp_path / "native")
    LanguageModel(tiny_model(vocab_size=len(set(TEXT))), train_characters([TEXT])).save(tmp_path / "characters")
    for name, words in (("native", "no Hugging Face family"), ("characters", "tokenizer")):
        assert main(["export", str(tmp_path / name), str(tmp_path / "x.gguf")]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1, error
    assert not list(tmp_path.glob("*gguf*"))


def test_an_export_that_differs_is_not_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(folder), str(out), "--dtype", "bfloat16", "--tolerance", "1e-9"]) == 1
    assert "differs from the original" in capsys.readouterr().err
    write = model_export._write_folder

    def spoil(model: LanguageModel, *arguments: object) -> None:
        model.tokenizer._config["chat_template"] = "another"
        write(model, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(model_export, "_write_folder", spoil)
    assert main(["export", str(folder), str(out)]) == 1
    assert "chat template" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_invalid_arguments_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    for arguments, words in (
        (["export", str(folder), out, "--dtype", "q8_0"], "is only for GGUF"),
        (["export", str(folder), out, "--dtype", "int3"], "int3"),
        (["export", str(folder), str(folder), "--overwrite"], "is the model itself: choose another --out"),
        (["export", str(folder), out, "--keep-adapter"], "is not an adapter"),
        (["export", str(tmp_path / "none"), out], "none' does not exist: check the path"),
        (["pull", "no-such-model"], "there is no model"),
        (["inspect", str(tmp_path)], "no config.json"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1, error
    assert list(tmp_path.iterdir()) == []
