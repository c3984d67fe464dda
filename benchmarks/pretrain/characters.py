"""Time to a validation loss on tiny-Shakespeare, compared with nanoGPT's CPU recipe.

nanoGPT's published recipe (GPT-2, here from transformers, with nanoGPT's optimizer settings and schedule) reaches about
1.886. lmcraft runs recipes/characters until it reaches that loss, and recipes/characters/best.toml for the 1.47 of
nanoGPT's GPU recipe.
"""

import math
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

RECIPES = Path(__file__).parents[2] / "recipes" / "characters"
# lmcraft's sides: recipe, target loss, and overrides of its run length.
TARGETS: dict[str, tuple[str, float, dict[str, int]]] = {
    "ours": ("pretrain.toml", 1.886, {"max_steps": 160, "eval_every": 80, "sample_every": 160, "save_every": 160}),
    "best": ("best.toml", 1.47, {}),
}


def compare(text: str, sides: list[str]) -> None:
    """Run every side in its own process."""
    for side in sides:
        print(f"\n## {side}\n", flush=True)
        subprocess.run([sys.executable, __file__, side, text], check=True)


def nanogpt(text: str) -> None:
    """GPT-2 of 4 blocks, 128 wide, on 12 x 64 characters per step; validates on the whole last tenth."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1337)
    start = time.perf_counter()
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
            print(f"step {step}: {validate():.4f} after {time.perf_counter() - start:.1f} s", flush=True)
        factor = step / 100 if step < 100 else 0.1 + 0.45 * (1 + math.cos(math.pi * (step - 100) / 1900))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * factor
        at = torch.randint(len(train) - 65, (12, 1)) + torch.arange(64)
        loss = torch.nn.functional.cross_entropy(model(train[at]).logits.flatten(0, 1), train[at + 1].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def ours(text_file: str, recipe: Path, target: float, length: dict[str, int]) -> None:
    """A recipe as its README runs it: prepare, then pretrain; `length` overrides its run length."""
    from dataclasses import replace

    from lmcraft import PrepareConfig, PretrainConfig, prepare, pretrain
    from lmcraft.json_lines import read_json_lines

    if not recipe.exists():
        print(f"{recipe.name}: does not exist")
        return
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        settings = {"tokenizer_type": "characters", "split": "tail", "validation": 0.1}
        data = prepare(PrepareConfig((text_file,), out=Path(folder) / "data", **settings))
        config = replace(PretrainConfig.from_toml(recipe), data=data.path, out=Path(folder) / "model", **length)
        model = pretrain(config)
        rows = [row for row in read_json_lines(model.metrics) if "validation_loss" in row]
    for row in rows:
        print(f"step {row['step']}: {row['validation_loss']:.4f} after {row['seconds']:.1f} s of training")
    reached = next((row for row in rows if row["validation_loss"] <= target), None)
    at = f"reached at step {reached['step']}, after {reached['seconds']:.1f} s of training" if reached else "not reached"
    print(f"{target}: {at}; whole run, from the text to the model folder: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    name, text = sys.argv[1:]
    if name == "nanogpt":
        nanogpt(Path(text).read_text(encoding="utf-8"))
    else:
        file, target, length = TARGETS[name]
        ours(text, RECIPES / file, target, length)
