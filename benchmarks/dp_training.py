"""Steps with differential privacy beside ordinary ones, and beside Opacus on the same model and batch.

One process; the kinds of step take turns in a random order, and each has a model of its own with the same weights. The
figures are processor seconds of a step (forward, backward, clipping, noise, AdamW), the first quartile of the rounds, since
other processes only ever slow the work down. Opacus trains transformers' Llama, ours the Transformer that loads the same
folder; so each has its own ordinary step to be compared with.

    pip install opacus transformers peft
    OMP_NUM_THREADS=1 python benchmarks/dp_training.py [--rounds 12] [--rows 32] [--tokens 128]
"""

import argparse
import random
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.finetuning.config import MethodConfig
from lmcraft.finetuning.lora import adapted_layers
from lmcraft.finetuning.methods import set_trainable_weights
from lmcraft.model.config import InitConfig, TransformerConfig
from lmcraft.model.initialization import initialize
from lmcraft.model.storage import load_model, save_model
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.bootstrap import bootstrap
from lmcraft.statistics.intervals import describe_metric
from lmcraft.training.batch import TensorBatch
from lmcraft.training.dp.clipping import GhostClipper
from lmcraft.training.dp.noise import GaussianNoise
from lmcraft.training.dp.secret import Secret
from lmcraft.training.objective import NextToken

Step = Callable[[], object]
NOISE, MAX_NORM, RATE = 1.0, 1.0, 1e-4
LLAMA: Mapping[str, Any] = {
    "vocab_size": 4096,
    "max_position_embeddings": 512,
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "intermediate_size": 768,
    "qk_norm": False,
}
LORA = MethodConfig(rank=16)
KINDS = (
    ("lmcraft, float32", "float32 private", "float32 ordinary"),
    ("lmcraft, bfloat16", "bfloat16 private", "bfloat16 ordinary"),
    ("Opacus, ghost clipping", "Opacus ghost", "Opacus ordinary"),
    ("Opacus, a gradient per row", "Opacus hooks", "Opacus ordinary"),
)


def make_folder(folder: Path, *, tied: bool) -> None:
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(**LLAMA, tie_word_embeddings=tied))
    initialize(model, InitConfig(zero_output_projections=False))
    save_model(model, folder, {"eos_token_id": 0})


# Ours


def our_steps(folder: Path, ids: Tensor, targets: Tensor, *, lora: bool, dtype: torch.dtype) -> dict[str, Step]:
    """The ordinary and the private step."""
    batch = TensorBatch(ids, targets, None)
    return {
        "ordinary": our_ordinary(our_model(folder, lora=lora, dtype=dtype), batch),
        "private": our_private(our_model(folder, lora=lora, dtype=dtype), batch),
    }


def our_model(folder: Path, *, lora: bool, dtype: torch.dtype) -> Transformer:
    model = load_model(folder, dtype=torch.float32)
    if lora:
        set_trainable_weights(model, LORA)
        for layer in adapted_layers(model):
            nn.init.normal_(layer.lora_B, std=0.01)
    for p in model.parameters():
        p.data = p.data.clone()
    model.compute_dtype = dtype
    model.use_attention("matmul")
    return model.train()


def our_ordinary(model: Transformer, batch: TensorBatch) -> Step:
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=RATE, fused=True)

    def step() -> None:
        (NextToken().loss(model, batch) / batch.targets.numel()).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, MAX_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def our_private(model: Transformer, batch: TensorBatch) -> Step:
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(weights.values(), lr=RATE, fused=True)
    clipper, noise = GhostClipper(model, NextToken(), MAX_NORM), GaussianNoise(weights, NOISE * MAX_NORM, Secret())

    def step(numbers: list[int] = [0]) -> None:  # noqa: B006  # counts the steps
        clipper.add_clipped(batch)
        noise.add(numbers[0])
        for p in weights.values():
            assert p.grad is not None
            p.grad /= len(batch.targets)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        numbers[0] += 1

    return step


# Opacus


def their_steps(folder: Path, ids: Tensor, targets: Tensor, *, lora: bool) -> dict[str, Step]:
    """The ordinary step of transformers, and two of Opacus: ghost clipping, and a gradient for each row."""
    return {
        "ordinary": their_ordinary(their_model(folder, lora=lora), ids, targets),
        "ghost": opacus_step(their_model(folder, lora=lora), ids, targets, "ghost"),
        "hooks": opacus_step(their_model(folder, lora=lora), ids, targets, "hooks"),
    }


def their_model(folder: Path, *, lora: bool) -> nn.Module:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    if lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=LORA.rank, lora_alpha=LORA.alpha, target_modules="all-linear"))
        for name, p in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(p, std=0.01)
    replace_norms(model)
    return model.train()


def replace_norms(model: nn.Module) -> None:
    """The same norms as PyTorch's module, for which Opacus has rules."""
    for name, module in list(model.named_modules()):
        if type(module).__name__ == "LlamaRMSNorm":
            norm = nn.RMSNorm(len(module.weight), eps=module.variance_epsilon)  # type: ignore[arg-type]
            norm.weight = module.weight  # type: ignore[assignment]
            model.set_submodule(name, norm)


def their_ordinary(model: nn.Module, ids: Tensor, targets: Tensor) -> Step:
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=RATE, fused=True)

    def step() -> None:
        F.cross_entropy(model(ids).logits.flatten(0, 1), targets.flatten()).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, MAX_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def opacus_step(model: nn.Module, ids: Tensor, targets: Tensor, mode: str) -> Step:
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE, fused=True)
    loader = DataLoader(TensorDataset(ids, targets), batch_size=len(ids))
    criterion: Any = nn.CrossEntropyLoss()
    made = PrivacyEngine(accountant="rdp").make_private(
        module=model,
        optimizer=optimizer,
        criterion=criterion,
        data_loader=loader,
        noise_multiplier=NOISE,
        max_grad_norm=MAX_NORM,
        poisson_sampling=False,
        grad_sample_mode=mode,
    )
    private: Any = made[0]
    private_optimizer: Any = made[1]
    if mode == "ghost":
        criterion = made[2]

    def step() -> None:
        logits = private(ids).logits
        shape = {"shape": logits.shape} if mode == "ghost" else {}
        criterion(logits.flatten(0, 1), targets.flatten(), **shape).backward()
        private_optimizer.step()
        private_optimizer.zero_grad()

    return step


# Measuring


def measure(steps: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each round by kind of step."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    draw = random.Random(0)
    for _ in range(rounds):
        for name in draw.sample(list(steps), len(steps)):
            begin = time.process_time()
            steps[name]()
            times[name].append(time.process_time() - begin)
    return times


def describe(times: Mapping[str, list[float]], name: str, base: str) -> str:
    """Milliseconds of a step, and how many times those of another one that is."""
    pairs = np.array([times[name], times[base]]).T

    def ratio(samples: np.ndarray) -> np.ndarray:
        quartiles = np.quantile(samples, 0.25, axis=1)
        return quartiles[:, 0] / quartiles[:, 1]

    return f"{1000 * np.quantile(times[name], 0.25):,.0f} ms | {describe_metric(asdict(bootstrap(pairs, ratio)))}"


def measure_case(name: str, arguments: argparse.Namespace, *, tied: bool, lora: bool) -> None:
    ids = torch.randint(1, LLAMA["vocab_size"], (arguments.rows, arguments.tokens + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    with TemporaryDirectory() as path:
        folder = Path(path)
        make_folder(folder, tied=tied)
        steps = {
            f"{title} {kind}": step
            for title, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
            for kind, step in our_steps(folder, inputs, targets, lora=lora, dtype=dtype).items()
        }
        steps |= {f"Opacus {kind}": step for kind, step in their_steps(folder, inputs, targets, lora=lora).items()}
        refused = {kind: reason for kind, step in steps.items() if (reason := first_error(step))}
        times = measure({kind: step for kind, step in steps.items() if kind not in refused}, arguments.rounds)
    for title, step, base in KINDS:
        if step in refused:
            print(f"| {name} | {title} | | refused: {refused[step]} | |", flush=True)
        else:
            ordinary = 1000 * np.quantile(times[base], 0.25)
            print(f"| {name} | {title} | {ordinary:,.0f} ms | {describe(times, step, base)} |", flush=True)


def first_error(step: Step) -> str:
    """What a step is refused with; empty if it runs."""
    try:
        step()
    except NotImplementedError as error:
        return str(error).splitlines()[0]
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    print("| model | | ordinary step | private step | ratio |\n|---|---|---|---|---|")
    measure_case("small, untied", arguments, tied=False, lora=False)
    measure_case("small, tied", arguments, tied=True, lora=False)
    measure_case("small, LoRA", arguments, tied=False, lora=True)


if __name__ == "__main__":
    sys.exit(main())
