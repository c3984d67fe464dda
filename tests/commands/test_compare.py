"""`lmcraft compare`: from model folders to a page."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft.cli import main
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.head import Labels, add_head
from lmcraft.finetuning.tuned_model import snapshot
from lmcraft.folder import read_json
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer import train_characters
from tests.finetuning.chat import chat_model, chat_tokenizer
from tests.tiny import TEXT, tiny_model

FLAGS = ["--device", "cpu", "--precision", "fp32", "--max-new-tokens", "6"]


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models that chat, one of characters with a short context, and three tasks, in the current folder."""
    monkeypatch.chdir(tmp_path)
    size = chat_tokenizer().vocab_size
    for seed, name in enumerate("ab"):
        LanguageModel(tiny_model(seed, vocab_size=size, max_position_embeddings=256), chat_tokenizer()).save(name)
    characters = train_characters([TEXT], special_tokens=["<|endoftext|>"])
    LanguageModel(tiny_model(max_position_embeddings=20), characters).save("short")
    write_task("choice", 'kind = "multiple_choice"\nprompt = "{{ q }}"\nchoices = "endings"\nanswer = "label"', 30)
    write_task("text", 'kind = "perplexity"\ntext = "q"', 12)


def write_task(name: str, settings: str, count: int) -> None:
    rows = [{"q": f"Line {n}: the quick", "endings": ["brown fox", "lazy dogs"], "label": n % 2} for n in range(count)]
    Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path(f"{name}.toml").write_text(f'data = "{name}.jsonl"\n{settings}\n')


def compare(*arguments: str, out: str = "out") -> dict[str, Any]:
    assert main(["compare", *arguments, "--out", out, "--tasks", "choice.toml", "text.toml", *FLAGS]) == 0
    result: dict[str, Any] = json.loads((Path(out) / "comparison.json").read_text())
    return result


def test_a_page_with_figures_answers_sizes_and_speeds(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.txt").write_text("the quick <b>\n")
    result = compare("a", "b", "--prompts", "mine.txt")
    assert [task["task"] for task in result["tasks"]] == ["choice", "text"]
    assert result["answers"][-1]["prompt"] == "the quick <b>" and set(result["answers"][-1]["answers"]) == {"a", "b"}
    a, b = result["models"]
    assert a["parameters"] == b["parameters"] > 0 and a["weight_bytes"] == Path("a/model.safetensors").stat().st_size
    assert a["speed"]["decode"]["value"] > 0 and result["machine"]
    assert 0 < a["speed"]["energy"]["low"] < a["speed"]["energy"]["joules"] < a["speed"]["energy"]["high"]
    assert {row["kind"] for row in read_json(Path("a/lmcraft/evaluations/energy.json"))["runs"]} == {"compare"}
    page = Path("out/comparison.html").read_text()
    assert "the quick &lt;b&gt;" in page and "default-src 'none'" in page
    assert "Comparison of a and b" in page and "better" in page
    output = capsys.readouterr().out
    assert "acc_norm" in output and "joules per token" in " ".join(output.split())


def test_swapping_the_models_mirrors_every_figure() -> None:
    first, second = compare("a", "b", "--no-speeds"), compare("b", "a", "--no-speeds", out="swapped")
    assert [model["name"] for model in second["models"]] == ["b", "a"]
    for task, other in zip(first["tasks"], second["tasks"], strict=True):
        for figure, mirror in zip(task["figures"], other["figures"], strict=True):
            [difference], [opposite] = figure["differences"], mirror["differences"]
            assert figure["values"] == mirror["values"] and figure["tied_with"] == mirror["tied_with"]
            assert difference["better"] == opposite["better"]
            gain, loss = difference["gain"], opposite["gain"]
            assert [gain["value"], gain["low"], gain["high"]] == pytest.approx(
                [-loss["value"], -loss["high"], -loss["low"]], abs=1e-9
            )
            for number in ("p_value", "adjusted_p_value", "detectable"):
                assert difference[number] == pytest.approx(opposite[number])
        assert {item["origin"]: item["best"] for item in task["differing"]} == {
            item["origin"]: item["best"] for item in other["differing"]
        }
    assert [answered["answers"] for answered in first["answers"]] == [answered["answers"] for answered in second["answers"]]


def test_results_of_evaluate_are_used_and_a_killed_run_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["evaluate", "a", "--tasks", "choice.toml", *FLAGS[:4]]) == 0
    [file] = Path("a/lmcraft/evaluations").glob("choice-*.jsonl")
    lines = file.read_bytes()
    file.write_bytes(lines[:-200])
    first = compare("a", "b", "--no-speeds")
    assert sorted(file.read_bytes().splitlines()) == sorted(lines.splitlines())
    for name in ("score", "generate"):
        monkeypatch.setattr(EvaluatedModel, name, lambda *_, **__: pytest.fail("scored again"))
    Path("out/comparison.html").unlink()
    assert compare("a", "b", "--no-speeds") == first and Path("out/comparison.html").is_file()


def test_models_with_different_tokenizers_are_compared_by_bits_per_byte() -> None:
    write_task("text", 'kind = "perplexity"\ntext = "q"', 12)
    result = compare("a", "short", "--no-speeds")
    [text] = result["tasks"]
    figures = {figure["figure"]: figure["differences"] for figure in text["figures"]}
    assert figures["bits_per_byte"] and not figures["nats_per_token"]
    [note, other] = result["notes"]
    assert "model 'short' cannot do task 'choice': choice.jsonl:1: it needs" in note
    assert other == "task 'choice' is not compared: fewer than two models have results"
    assert note in Path("out/comparison.html").read_text().replace("&#x27;", "'")


def test_three_models_are_compared_with_the_first_and_tied_in_sets() -> None:
    result = compare("a", "b", "short", "--no-speeds")
    text = result["tasks"][1]["figures"][0]
    assert len(text["differences"]) == 3 and set(text["tied_with"]) == {"a", "b", "short"}
    assert "Which models are tied" in Path("out/comparison.html").read_text()
    assert len(result["tasks"][0]["figures"][0]["values"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "models: 1 model cannot be compared: name 2 or more"),
        (["a", "b", "a"], "'a' and 'a' are the same model: name different ones"),
        (["a", "nowhere"], "there is no model 'nowhere'"),
        (["a", "b", "--prompts", "none.txt"], "prompts='none.txt' is no file: check the path"),
        (["a", "b", "--prompts", "empty.txt"], "'empty.txt' has no rows: add some, or name another file"),
        (["a", "b", "--prompts", "choice.jsonl"], "choice.jsonl:1: its prompt cannot be rendered: 'prompt' is undefined"),
        (["a", "b", "--limit", "-1"], "limit=-1 must not be negative"),
        (["a", "b", "--max-new-tokens", "0"], "max_new_tokens=0 must be 1 or more"),
        (["a", "b", "--out", "a/x"], "out='a/x' lies inside the model"),
        (["a", "b", "--out", "full"], "out='full' is not the folder of a comparison"),
        (["a", "short"], "model 'short' cannot do task 'choice': choice.jsonl:1: it needs"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("full").mkdir()
    Path("empty.txt").write_text("\n")
    Path("full/notes.txt").write_text("mine")
    assert main(["compare", *arguments, "--tasks", "choice.toml", "--no-speeds", *FLAGS[:4]]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert error.count("jsonl:1:") <= 1
    assert not any(Path("comparisons").rglob("*.html"))


def test_classifiers_are_compared_without_answers_and_speeds() -> None:
    for seed in (0, 1):
        model, labels = chat_model(seed=seed), Labels(("x", "y"))
        add_head(model, 2)
        snapshot(model, MethodConfig(name="full"), "base", chat_tokenizer(), (0,), labels)(Path(f"c{seed}"))
        labels.save(Path(f"c{seed}"))
    Path("labels.csv").write_text("t,l\n" + "".join(f"the fox {n},{'xy'[n % 2]}\n" for n in range(12)))
    Path("labels.toml").write_text('kind = "classification"\ndata = "labels.csv"\nprompt = "{{ t }}"\nanswer = "l"\n')
    assert main(["compare", "c0", "c1", "--tasks", "labels.toml", "--out", "out", *FLAGS]) == 0
    result = json.loads(Path("out/comparison.json").read_text())
    assert not result["answers"] and all(model["speed"] is None for model in result["models"])
    assert result["tasks"][0]["figures"][0]["figure"] == "acc"
    assert all(set(item["answers"].values()) == {"x", "y"} for item in result["tasks"][0]["differing"])


def test_results_of_a_write_protected_model_lie_beside_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "a")
    compare("a", "b", "--no-speeds")
    assert not Path("a/lmcraft/evaluations").exists() and Path("b/lmcraft/evaluations").is_dir()
    assert len(list(Path("evaluations/a").glob("*.jsonl"))) == 3


def test_models_are_called_by_the_last_parts_of_their_addresses_unless_these_are_equal() -> None:
    Path("other").mkdir()
    Path("b").rename("other/a")
    arguments = ["--tasks", "choice.toml", "--no-speeds", *FLAGS]
    assert main(["compare", "a", "./other/a", *arguments]) == 0
    assert main(["compare", str(Path("a").absolute()), "short", *arguments, "--tasks", "text.toml"]) == 0
    assert sorted(path.name for path in Path("comparisons").iterdir()) == ["a-.-other-a", "a-short"]


def test_the_comparison_of_other_models_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    compare("a", "b", "--no-speeds")
    compare("b", "a", "--no-speeds")  # the same models
    arguments = ["compare", "a", "short", "--out", "out", "--tasks", "text.toml", "--no-speeds", *FLAGS]
    assert main(arguments) == 2 and "add --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
