"""Speed of the first ten families in two versions of lmcraft, in pairs of rounds.

    git worktree add ../old main
    python benchmarks/family_speed.py ../old/src src --rounds 15

Each version runs in one process of its own, with one thread. A round measures one version right after the other, and begins
with the one that was second before; so what else the machine does meets both. Time is that of the processor. The table has
the median of new / old over the rounds and the 95% bootstrap interval of that median; below 1, the new version is faster.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SIZES: dict[str, Any] = {
    "vocab_size": 1000,
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "intermediate_size": 512,
    "max_position_embeddings": 512,
}
GPT2 = {"vocab_size": 1000, "n_embd": 192, "n_layer": 4, "n_head": 6, "n_positions": 512}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "gpt_neox": {key: value for key, value in SIZES.items() if key != "num_key_value_heads"},
    "llama": SIZES,
    "mistral": SIZES | {"sliding_window": 128},
    "qwen2": SIZES,
    "qwen3": SIZES | {"head_dim": 32},
    "qwen3_moe": SIZES | {"head_dim": 32, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 128},
    "gemma3_text": SIZES | {"head_dim": 32, "sliding_window": 128},
    "phi3": SIZES,
    "olmo2": SIZES,
}
WORKS = ("training step", "prompt", "eager decoding", "engine")


def write_models(folder: Path) -> None:
    """Random models of every family, by transformers."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    for name, arguments in FAMILIES.items():
        config = AutoConfig.for_model(name, **arguments, bos_token_id=None, eos_token_id=None, pad_token_id=0)
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder / name)


def works(folder: Path) -> dict[str, Callable[[], object]]:
    """What is timed on one model: functions that do a fixed amount of it."""
    import torch

    from lmcraft.inference.engine import Engine
    from lmcraft.inference.generation_config import GenerationConfig
    from lmcraft.inference.kv_cache import KVCache
    from lmcraft.inference.request import Request
    from lmcraft.model.storage import load_model

    model, generator = load_model(folder), torch.Generator().manual_seed(0)
    rows = torch.randint(0, 1000, (4, 128), generator=generator)

    def train() -> None:
        logits = model(rows)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows.flatten()).backward()
        model.zero_grad()

    @torch.inference_mode()
    def prompt() -> None:
        model(rows.reshape(1, -1), cache=KVCache(model.config), last_only=True)

    @torch.inference_mode()
    def decode() -> None:
        cache = KVCache(model.config)
        for token in rows[0, :48]:
            model(token.reshape(1, 1), cache=cache, last_only=True)

    settings = GenerationConfig(do_sample=False, max_new_tokens=96)
    engine = Engine(model, weights="float32")
    requests = [Request(prompt_ids=tuple(row), config=settings) for row in rows[:, :16].tolist()]

    def native() -> None:
        engine.run(requests)

    return dict(zip(WORKS, (train, prompt, decode, native), strict=True))


def serve(folder: Path) -> None:
    """Read "family work" lines, do that work, and write the seconds of processor time."""
    import torch

    torch.set_num_threads(1)
    cached: dict[str, dict[str, Callable[[], object]]] = {}
    for line in sys.stdin:
        name, work = line.rstrip().split("\t")
        if name not in cached:
            cached[name] = works(folder / name)
            for run in cached[name].values():
                run()
        start = time.process_time()
        cached[name][work]()
        print(time.process_time() - start, flush=True)


@contextmanager
def version(source: Path, folder: Path) -> Iterator[Callable[[str, str], float]]:
    """A process with one version; the function asks it for a time."""
    command = [sys.executable, __file__, "--serve", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdin is not None and process.stdout is not None
        lines = process.stdout

        def ask(name: str, work: str) -> float:
            print(f"{name}\t{work}", file=process.stdin, flush=True)
            return float(lines.readline())

        yield ask
        process.stdin.close()


def compare(old: Path, new: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """The quotients new / old of every family and work, one per round."""
    quotients: dict[str, dict[str, list[float]]] = {name: {work: [] for work in WORKS} for name in FAMILIES}
    with tempfile.TemporaryDirectory() as temporary:
        write_models(Path(temporary))
        with version(old, Path(temporary)) as before, version(new, Path(temporary)) as after:
            for number in range(rounds):
                for name in FAMILIES:
                    for work in WORKS:
                        order = (before, after) if number % 2 == 0 else (after, before)
                        seconds = {ask: ask(name, work) for ask in order}
                        quotients[name][work].append(seconds[after] / seconds[before])
    return quotients


def interval(values: list[float]) -> str:
    import numpy as np

    drawn = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return f"{statistics.median(values):.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path, help="the src folders of the old and the new version")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write all quotients here")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.serve)
    old, new = (source.resolve() for source in arguments.sources)
    quotients = compare(old, new, arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(quotients), encoding="utf-8")
    print(f"| family | {' | '.join(WORKS)} |\n|---|{'---|' * len(WORKS)}")
    for name, by_work in quotients.items():
        print(f"| {name} | {' | '.join(map(interval, by_work.values()))} |")
    everything = [[value for by_work in quotients.values() for value in by_work[work]] for work in WORKS]
    print(f"| all | {' | '.join(map(interval, everything))} |")


if __name__ == "__main__":
    main()
