"""Fine-tuning runs from start to end, and resumed ones."""

import json
import math
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from lmcraft import LanguageModel, PrepareConfig, PretrainConfig, TransformerConfig, prepare, pretrain
from lmcraft.cli import main
from lmcraft.commands.finetune import finetune
from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.finetuning.config import FinetuneConfig, FinetuneOptimizerConfig, MethodConfig, ObjectiveConfig
from lmcraft.folder import ModelFolder
from lmcraft.lineage.record import read_lineage
from lmcraft.training.loop import Trainer
from tests.finetuning.chat import chat_folder, message
from tests.forked import run_ranks
from tests.pretraining.test_run import losses, scores
from tests.tiny import GPT2, tiny_dataset

COLORS = ("red", "green", "blue", "white")
ROWS = [[message("user", f"Say {c} {n}"), message("assistant", f"{c} {c}")] for n in range(12) for c in COLORS]
GENERAL = "The quick brown fox jumps over the lazy dogs.\n" * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and data of every kind."""
    folder = tmp_path_factory.mktemp("tuning")
    chat_folder(folder / "base", family="gpt2", norm_eps=1e-5, **GPT2)
    data = {
        "chat": [{"messages": messages} for messages in ROWS],
        "pairs": [{"prompt": [q], "chosen": [a], "rejected": message("assistant", "dog dog")} for q, a in ROWS],
        "labels": [{"text": f"{q['content']} please", "label": a["content"][:3]} for q, a in ROWS],
        "sets": [{"text": str(q["content"]), "labels": ["warm"] if n % 4 == 0 else []} for n, (q, _) in enumerate(ROWS)],
    }
    for name, rows in data.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "general.txt").write_text(GENERAL)
    return folder


def build_config(folder: Path, out: Path, data: str = "chat", **settings: Any) -> FinetuneConfig:
    objective: dict[str, Any] = {"general_text": folder / "general.txt", "max_new_tokens": 4} | settings.pop("settings", {})
    method = {"rank": 4} | settings.pop("method", {})
    common: dict[str, Any] = {"max_steps": 6, "eval_every": 3, "save_every": 2, "precision": "fp32", "attention": "matmul"}
    common |= {
        "sequence_length": 96,
        "batch_size": 4,
        "report_answers": 2,
        "validation": 0.2,
        "device": "cpu",
        "sample_every": 100,
    }
    return FinetuneConfig(
        str(folder / "base"),
        (folder / f"{data}.jsonl",),
        out=out,
        method=MethodConfig(**method),
        settings=ObjectiveConfig(**objective),
        **(common | settings),
    )


def evaluation(out: ModelFolder) -> Any:
    return json.loads((out.run / "evaluation.json").read_text())


@pytest.mark.parametrize("name", ["lora", "dora", "full"])
def test_answers_are_learned_and_the_change_is_reported(folder: Path, tmp_path: Path, name: str) -> None:
    rate = FinetuneOptimizerConfig(learning_rate=0.02 if name != "full" else 0.01)
    out = finetune(
        build_config(folder, tmp_path / "out", method={"name": name}, optimizer=rate, max_steps=20, eval_every=10)
    )
    curve = losses(out.path)
    assert curve[20] < curve[1] - 1
    results = evaluation(out)
    metric = results["metrics"]["validation loss"]
    assert metric["after"]["value"] < metric["before"]["value"] - 1
    assert metric["before"]["low"] < metric["before"]["value"] < metric["before"]["high"]
    assert len(results["answers"]) == 2 and results["general"]["text"] == "general.txt"
    assert (out.path / "adapter_model.safetensors").exists() == (name != "full")
    assert (out.path / "model.safetensors").exists() == (name == "full")
    assert out.report.exists() and [origin.role for origin in read_lineage(out).parents] == ["base"]
    tuned, base = LanguageModel.load(out.path, tier="eager"), LanguageModel.load(folder / "base", tier="eager")
    prompt = tuned.tokenizer.encode(tuned.tokenizer.apply_chat_template([message("user", "Say red 1")]), parse_special=True)
    answer = tuned.generate(prompt, do_sample=False, max_new_tokens=4)[0]
    assert answer != base.generate(prompt, do_sample=False, max_new_tokens=4)[0]
    for shown in results["answers"]:
        prompt = base.tokenizer.apply_chat_template([message("user", shown["prompt"])])
        ids = base.tokenizer.encode(prompt, parse_special=True)
        for model, text in ((base, shown["before"]), (tuned, shown["after"])):
            assert model.tokenizer.decode(model.generate(ids, do_sample=False, max_new_tokens=4)[0][len(ids) :]) == text
    assert results["general"]["before"] != results["general"]["after"]


def test_preferences_begin_at_log_2_and_are_learned(folder: Path, tmp_path: Path) -> None:
    rate = FinetuneOptimizerConfig(learning_rate=0.01)
    out = finetune(build_config(folder, tmp_path / "out", "pairs", objective="dpo", max_steps=10, optimizer=rate))
    curve = losses(out.path)
    assert curve[1] == pytest.approx(math.log(2), abs=1e-4) and curve[10] < curve[1] - 0.05
    metrics = evaluation(out)["metrics"]
    assert metrics["preference accuracy"]["after"]["value"] >= 0.5
    assert metrics["implicit reward accuracy"]["after"]["value"] > 0.5
    assert len(list(out.run.glob("reference-*.npy"))) == 1


@pytest.mark.parametrize(("data", "name"), [("labels", "full"), ("labels", "lora"), ("labels", "head"), ("sets", "lora")])
def test_labels_are_learned_and_reported(folder: Path, tmp_path: Path, data: str, name: str) -> None:
    method = {"name": name, "rank": 4}
    config = build_config(
        folder, tmp_path / "out", data, objective="classification", method=method, max_steps=12, eval_every=6
    )
    out = finetune(replace(config, optimizer=FinetuneOptimizerConfig(learning_rate=0.01)))
    results = evaluation(out)
    labels = ["blu", "gre", "red", "whi"] if data == "labels" else ["warm"]
    assert results["labels"]["labels"] == labels and json.loads((out.run / "labels.json").read_text())["names"] == labels
    assert results["metrics"]["accuracy"]["after"]["value"] == pytest.approx(results["labels"]["accuracy"])
    assert losses(out.path)[12] < losses(out.path)[1] and len(results["answers"]) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"method": {"base_weights": "int8"}, "precision": "bf16"},
        {"method": {"name": "dora", "base_weights": "int8", "dropout": 0.1}},
        {"method": {"name": "last", "last_layers": 1, "layer_decay": 0.5}, "activation_checkpointing": True},
        {"method": {"name": "full"}, "settings": {"kl": 0.1}, "optimizer": FinetuneOptimizerConfig(name="normuon")},
        {"optimizer": FinetuneOptimizerConfig(name="sgd"), "packing": False, "attention": "sdpa"},
        {"chat_template": "plain", "system": "Be brief.", "micro_batch_size": 2, "max_steps": 0, "epochs": 0.2},
    ],
)
def test_every_method_runs(folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    out = finetune(build_config(folder, tmp_path / "out", **({"max_steps": 2} | settings)))
    assert len(losses(out.path)) == (2 if "epochs" not in settings else math.ceil(0.2 * 42 / 4))
    assert LanguageModel.load(out.path, tier="eager").tokenizer.chat_template


def test_continued_pretraining_lowers_the_loss(folder: Path, tmp_path: Path) -> None:
    data = tiny_dataset(tmp_path)
    sizes = TransformerConfig(hidden_size=32, num_attention_heads=2)
    settings: dict[str, Any] = {"sequence_length": 32, "batch_size": 4, "precision": "fp32", "max_steps": 5}
    pretrain(PretrainConfig(data, out=tmp_path / "base", depth=1, model=sizes, **settings))
    config = build_config(folder, tmp_path / "out", objective="continued", method={"name": "full"}, max_steps=5)
    rate = FinetuneOptimizerConfig(learning_rate=0.01)
    out = finetune(replace(config, model=str(tmp_path / "base"), data=(data,), sequence_length=32, optimizer=rate))
    assert losses(out.path)[5] < losses(tmp_path / "base")[5]
    assert read_lineage(out).data[0].manifest_sha256


def test_general_text_is_mixed_in(folder: Path, tmp_path: Path) -> None:
    prepare(
        PrepareConfig((str(folder / "general.txt"),), out=tmp_path / "data", tokenizer=str(folder / "base"), validation=0.1)
    )
    settings = {"general": tmp_path / "data", "general_share": 0.5}
    out = finetune(build_config(folder, tmp_path / "out", settings=settings, max_steps=4))
    assert len(losses(out.path)) == 4


def test_rows_that_are_left_out_are_listed(folder: Path, tmp_path: Path) -> None:
    empty = {"messages": [message("user", "Hi"), message("assistant", "")]}
    data = (folder / "chat.jsonl").read_text().splitlines(keepends=True)
    (folder / "gaps.jsonl").write_text("".join([data[0], "oops\n", *data[1:], json.dumps(empty)]))
    out = finetune(build_config(folder, tmp_path / "out", data="gaps", malformed="skip", max_steps=1))
    rows = [json.loads(line) for line in out.skipped.read_text().splitlines()]
    assert [(row["file"], row["line"]) for row in rows] == [
        (str(folder / "gaps.jsonl"), line) for line in (2, len(data) + 2)
    ]


def test_a_batch_is_shown_and_nothing_is_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--out", str(tmp_path / "out"), "--show-batch", "--sequence-length", "96"]
    assert main(["finetune", str(folder / "base"), str(folder / "chat.jsonl"), *flags]) == 0
    shown = capsys.readouterr().out
    assert "row 1, document 1: " in shown and "*'<|im_end|>'" in shown and " '<|im_start|>'" in shown
    assert not (tmp_path / "out").exists()
    assert (
        main(["finetune", str(folder / "base"), str(folder / "labels.jsonl"), *flags, "--objective", "classification"]) == 0
    )
    assert "  -> [" in capsys.readouterr().out


@pytest.fixture
def stop_after_step(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Returns a function that lets a signal stop a run after a step."""
    step = Trainer._step

    def stop_after(number: int) -> None:
        def stopped(self: Trainer, *arguments: Any) -> None:
            step(self, *arguments)
            if self.progress.step == number:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(Trainer, "_step", stopped)

    yield stop_after


@pytest.mark.parametrize(
    ("objective", "data", "method", "settings"),
    [  # the objectives' own tests have a LoRA of each
        ("sft", "chat", {"name": "lora", "dropout": 0.1, "use_rslora": True, "rank": 3, "alpha": 5.0}, {}),
        ("sft", "chat", {"name": "dora"}, {}),
        ("sft", "chat", {"name": "full"}, {"l2_sp": 0.01}),
        ("classification", "labels", {"name": "full"}, {}),
        ("dpo", "pairs", {"name": "full"}, {}),
    ],
)
def test_a_resumed_run_repeats_every_number(
    folder: Path,
    tmp_path: Path,
    stop_after_step: Any,
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
    data: str,
    method: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    options: dict[str, Any] = {"objective": objective, "method": method, "settings": settings}
    options |= {"max_steps": 5, "batch_size": 4, "optimizer": FinetuneOptimizerConfig(learning_rate=0.01)}
    whole = finetune(build_config(folder, tmp_path / "whole", data, **options))
    config = build_config(folder, tmp_path / "out", data, **options)
    stop_after_step(2)
    with pytest.raises(InterruptedRunError, match=r"step 2 of 5.*lmcraft finetune .*--resume"):
        finetune(config)
    monkeypatch.undo()
    assert max(losses(config.out)) == 2
    assert main(["finetune", str(ModelFolder(config.out).config_toml), "--resume"]) == 0
    assert losses(config.out) == losses(whole.path)
    before, after = (evaluation(ModelFolder(path))["metrics"] for path in (whole.path, config.out))
    assert before == after


def test_file_flags_and_python_give_the_same_run(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = build_config(folder, tmp_path / "out", settings={"kl": 0.5}, variables={"name": "Ada"}, system="Be brief.")
    (tmp_path / "run.toml").write_text(config.to_toml())
    assert FinetuneConfig.from_toml(tmp_path / "run.toml") == config
    assert main(["finetune", str(tmp_path / "run.toml"), "--print-config"]) == 0
    from_file = capsys.readouterr().out
    flags = f"--out {config.out} --general-text {folder / 'general.txt'} --max-new-tokens 4 --method.rank 4 --max-steps 6"
    flags += " --eval-every 3 --save-every 2 --precision fp32 --attention matmul --sequence-length 96 --batch-size 4"
    flags += " --report-answers 2 --validation 0.2 --device cpu --sample-every 100 --kl 0.5 --variables.name Ada"
    arguments = [str(folder / "base"), str(folder / "chat.jsonl"), *flags.split(), "--system", "Be brief."]
    assert main(["finetune", *arguments, "--print-config"]) == 0
    assert capsys.readouterr().out == from_file == config.resolved().to_toml()


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ("chat", {"method": {"rank": 0}}, "method.rank=0"),
        ("chat", {"method": {"alpha": 0.0}}, "method.alpha=0"),
        ("chat", {"method": {"dropout": 1.0}}, "method.dropout=1"),
        ("chat", {"method": {"target_modules": ("q_prj",)}}, r"method.target_modules=q_prj .*q_proj"),
        ("chat", {"method": {"target_modules": ("q_proj",)}}, r"is only part of .*c_attn"),
        ("chat", {"method": {"name": "full", "base_weights": "int8"}}, "method.base_weights=int8"),
        ("chat", {"method": {"base_weights": "int4"}}, "method.base_weights=int4 .*48"),
        ("chat", {"method": {"name": "last", "last_layers": 9}}, "method.last_layers=9"),
        ("chat", {"method": {"name": "head"}}, "method.name=head"),
        ("chat", {"settings": {"beta": 0.0}}, "beta=0"),
        ("chat", {"settings": {"kl": -1.0}}, "kl=-1"),
        ("chat", {"settings": {"l2_sp": 0.1}}, "l2_sp=0.1.*full or last"),
        ("chat", {"settings": {"general_share": 1.0}}, "general_share=1"),
        ("chat", {"objective": "distillation"}, "teacher"),
        ("chat", {"objective": "grpo"}, "reward=''"),
        ("chat", {"objective": "dpo"}, "objective=dpo learns from preferences, but the data are conversations"),
        ("chat", {"sequence_length": 256}, "sequence_length=256 is more than the model's context of 128"),
        ("chat", {"sequence_length": 8}, r"longer than sequence_length=8 .*--too-long skip"),
        ("chat", {"sequence_length": 8, "too_long": "skip"}, "sequence_length=8: raise it"),
        ("chat", {"epochs": 0.0}, "epochs=0"),
        ("chat", {"validation": 1.0}, "validation=1"),
        ("chat", {"chat_template": "none.jinja"}, "chat_template=none.jinja"),
        ("none", {}, "does not exist"),
        ("chat", {"tasks": ("hellaswag",)}, "tasks=hellaswag are evaluated only with"),
        (
            "labels",
            {"objective": "classification", "tasks": ("hellaswag",), "evaluate_every": 9},
            "a model that writes text",
        ),
        ("chat", {"tasks": ("induction",), "evaluate_every": 1}, r"synthetic:induction.*: it needs"),
    ],
)
def test_bad_settings_are_named(folder: Path, tmp_path: Path, data: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        finetune(build_config(folder, tmp_path / "out", data, **settings))
    assert "\n" not in str(caught.value)


def test_an_adapter_cannot_be_the_base_of_another(folder: Path, tmp_path: Path) -> None:
    out = finetune(build_config(folder, tmp_path / "first", max_steps=1))
    with pytest.raises(UserError, match="lmcraft export"):
        finetune(replace(build_config(folder, tmp_path / "second"), model=str(out.path)))
    whole = build_config(folder, tmp_path / "third", method={"name": "full"}, max_steps=1)
    again = finetune(replace(whole, model=str(out.path)))
    assert torch.isfinite(LanguageModel.load(again.path, tier="eager").transformer(torch.tensor([[1, 2]]))).all()


def write_choices(folder: Path) -> Path:
    """A task of multiple choice."""
    rows = [{"q": q["content"], "choices": COLORS, "answer": str(a["content"]).split()[0]} for q, a in ROWS]
    (folder / "toy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"kind": "multiple_choice", "data": "toy.jsonl", "prompt": "{{ q }}", "choices": "choices", "chat": True}
    (folder / "toy.toml").write_text(tomli_w.dumps(settings | {"answer": "answer"}))
    return folder / "toy.toml"


def test_tasks_show_what_training_changes_and_change_nothing(folder: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"method": {"dropout": 0.1}, "max_steps": 8}
    plain = finetune(build_config(folder, tmp_path / "plain", **settings))
    settings |= {"tasks": (str(write_choices(tmp_path)),), "evaluate_every": 5, "task_limit": 20}
    config = build_config(folder, tmp_path / "tasks", optimizer=FinetuneOptimizerConfig(learning_rate=0.02), **settings)
    curve = scores(finetune(config).path)
    assert list(curve) == [0, 5, 8]
    assert curve[8]["toy"]["bits_per_byte"][2] < curve[0]["toy"]["bits_per_byte"][1]
    assert losses(finetune(build_config(folder, tmp_path / "slow", **settings)).path) == losses(plain.path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora", "full"])
def test_two_processes_give_the_losses_of_one(folder: Path, tmp_path: Path, name: str) -> None:
    settings: dict[str, Any] = {"method": {"name": name}, "tasks": (str(write_choices(tmp_path)),), "evaluate_every": 4}
    alone, shared = (build_config(folder, tmp_path / where, **settings) for where in ("alone", "shared"))
    finetune(alone)
    run = tmp_path / "run.toml"
    run.write_text(shared.to_toml())
    status, messages = run_ranks("finetune", str(run), processes=2)
    assert status == 0, messages
    one, two = losses(alone.out), losses(shared.out)
    assert one == pytest.approx(two, rel=5e-6)
    bits = [[row["toy"]["bits_per_byte"][0] for row in scores(config.out).values()] for config in (alone, shared)]
    assert len(bits[0]) == 3 and bits[0] == pytest.approx(bits[1], rel=1e-4)
    assert evaluation(ModelFolder(shared.out))["metrics"]["validation loss"]["after"]["value"] > 0
