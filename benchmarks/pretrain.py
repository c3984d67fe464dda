"""Pretraining beside its peers. `python benchmarks/pretrain.py characters TEXT` or `... trainer`; prints Markdown.

characters: time to a validation loss of 1.886 on tiny-Shakespeare; the peer is nanoGPT's published CPU recipe (its model is
GPT-2, here transformers' own, with its optimiser settings and schedule).
trainer: tokens a second and peak memory of one shape, beside transformers' Trainer. Each side runs in a process of its own.
"""

import math
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

GOAL = 1.886
SHAPE = {"vocab_size": 4096, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4}
SHAPE |= {"head_dim": 64, "intermediate_size": 704, "max_position_embeddings": 256}
ROWS, LENGTH, STEPS = 16, 256, 30


def nanogpt(text: str) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1337)
    begun = time.perf_counter()
    letters = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = torch.tensor([letters[c] for c in text])
    train, validation = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]
    sizes = {"n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": 64, "eos_token_id": 0}
    dropout = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(letters), **sizes, **dropout))
    groups = [{"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1}]
    groups += [{"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)
    rows = (len(validation) - 1) // 64

    @torch.inference_mode()
    def validate() -> float:
        x, y = validation[: rows * 64].view(rows, 64), validation[1 : rows * 64 + 1].view(rows, 64)
        losses = [
            torch.nn.functional.cross_entropy(model(a).logits.flatten(0, 1), b.flatten(), reduction="sum").item()
            for a, b in zip(x.split(128), y.split(128), strict=True)
        ]
        return sum(losses) / y.numel()

    for step in range(2001):
        if step % 250 == 0:
            print(f"step {step}: {validate():.4f} after {time.perf_counter() - begun:.1f} s", flush=True)
        warm = step / 100 if step < 100 else 0.1 + 0.45 * (1 + math.cos(math.pi * (step - 100) / 1900))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * warm
        at = torch.randint(len(train) - 65, (12, 1)) + torch.arange(64)
        loss = torch.nn.functional.cross_entropy(model(train[at]).logits.flatten(0, 1), train[at + 1].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def ours_characters(text_file: str) -> None:
    from lmcraft import PrepareConfig, PretrainConfig, prepare, pretrain
    from lmcraft.train.metrics import read_jsonl

    begun = time.perf_counter()
    recipe = Path(__file__).parents[1] / "recipes" / "characters"
    with TemporaryDirectory() as folder:
        settings = {"tokenizer_type": "characters", "split": "tail", "validation": 0.1}
        data = prepare(PrepareConfig((text_file,), out=Path(folder) / "data", **settings))
        lines = (recipe / "pretrain.toml").read_text().replace("datasets/characters", str(data.path))
        (Path(folder) / "run.toml").write_text(lines.replace("models/characters", f"{folder}/model"))
        model = pretrain(PretrainConfig.from_toml(Path(folder) / "run.toml"))
        for row in read_jsonl(model.metrics):
            if "validation_loss" in row:
                print(f"step {row['step']}: {row['validation_loss']:.4f} after {row['seconds']:.1f} s of training")
    print(f"whole run, from the text to the model folder: {time.perf_counter() - begun:.1f} s")


def trainer() -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM, Trainer, TrainingArguments

    class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return ROWS * STEPS

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            ids = torch.randint(0, 4096, (LENGTH,), generator=torch.Generator().manual_seed(index))
            return {"input_ids": ids, "labels": ids}

    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_train_batch_size=ROWS, max_steps=STEPS, bf16=True, use_cpu=True, report_to="none",
            save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        model = Qwen3ForCausalLM(Qwen3Config(**SHAPE, tie_word_embeddings=True))
        begun = time.perf_counter()
        Trainer(model, arguments, train_dataset=Rows()).train()
        report(time.perf_counter() - begun)


def ours() -> None:
    import numpy as np

    from lmcraft.data.loader import Batch
    from lmcraft.machine import choose_machine
    from lmcraft.model.config import InitConfig, TransformerConfig
    from lmcraft.model.init import initialise
    from lmcraft.model.transformer import Transformer
    from lmcraft.train.config import OptimizerConfig
    from lmcraft.train.dial import resolve_optimizer
    from lmcraft.train.loop import to_device
    from lmcraft.train.objective import NextToken
    from lmcraft.train.optimizer import Optimizer

    machine = choose_machine()
    model = Transformer(TransformerConfig(**SHAPE))
    initialise(model, InitConfig())
    model.compute_dtype = machine.dtype
    optimizer = Optimizer(model, resolve_optimizer(OptimizerConfig(), 256), machine.dtype)
    draw = np.random.default_rng(0)
    begun = time.perf_counter()
    for _ in range(STEPS):
        ids = draw.integers(0, 4096, (ROWS, LENGTH))
        batch = to_device(Batch(ids, ids, np.zeros_like(ids)), machine.device)
        (NextToken().loss(model, batch) / ids.size).backward()
        optimizer.step(1.0)
    seconds = time.perf_counter() - begun
    report(seconds)
    share = model.flops_per_token(LENGTH) * ROWS * LENGTH * STEPS / seconds / machine.peak_flops
    print(f"share of the machine's measured peak: {share:.0%}")


def report(seconds: float) -> None:
    from lmcraft.machine import peak_memory

    print(f"{ROWS * LENGTH * STEPS / seconds:,.0f} tokens a second, peak memory {peak_memory() / 2**30:.2f} GiB")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["characters", file]:
            for side in ("nanogpt", "ours-characters"):
                print(f"## {side}", flush=True)
                subprocess.run([sys.executable, __file__, side, file], check=True)
        case ["trainer"]:
            for side in ("trainer-side", "ours", "trainer-side", "ours"):
                print(f"## {side}", flush=True)
                subprocess.run([sys.executable, __file__, side], check=True)
        case ["nanogpt", file]:
            nanogpt(Path(file).read_text(encoding="utf-8"))
        case ["ours-characters", file]:
            ours_characters(file)
        case ["trainer-side"]:
            trainer()
        case ["ours"]:
            ours()
        case _:
            sys.exit(__doc__)
