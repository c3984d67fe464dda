"""What hook points cost: unused, against the code before they existed, and used, against the same model without hooks.

Two processes, one for each checkout, do the same work in turns, in a random order; the figures are processor seconds (the
first quartile, since other processes only ever slow the work down) and the peak of the memory. A third process of this
checkout shows how much two equal ones differ. It also compares the lists of PyTorch's operations, with shapes and types.

git worktree add /tmp/before 0a8d8e3c
python benchmarks/hooks.py models/smollm2-135m-instruct --before /tmp/before/src [--rounds 40]
"""

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

THREADS = 1
SMALL = {"vocab_size": 4096, "max_position_embeddings": 512, "hidden_size": 256, "num_hidden_layers": 4}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 64, "intermediate_size": 768}
SHAPES = {"small": (2, 128), "large": (1, 32)}  # batch and tokens of a training step
PROMPT_TOKENS, DECODED_TOKENS = 4, 4
READ_TOKENS = 128
SOURCE = Path(__file__).parent.parent / "src"


# The process of one checkout


def serve(folder: str) -> None:
    """Do what the lines of the standard input name, and print seconds and bytes."""
    import torch

    torch.set_num_threads(THREADS)
    works: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        name, repeats = json.loads(line)
        if repeats == 0:
            print(json.dumps(list_operations(works[name])), flush=True)
            continue
        if name not in works:
            works.clear()
            gc.collect()
            works[name] = make_work(name, folder)
            works[name]()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts again
        start = time.process_time()
        for _ in range(repeats):
            works[name]()
        seconds = (time.process_time() - start) / repeats
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
        print(json.dumps([seconds, peak]), flush=True)


def list_operations(work: Callable[[], object]) -> list[str]:
    """Names of the operations that PyTorch does for some work, with the types and shapes of their tensors."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    operations: list[str] = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            tensors = [f"{x.dtype}{tuple(x.shape)}" for x in args if isinstance(x, torch.Tensor)]
            operations.append(f"{function} {tensors}")
            return function(*args, **(kwargs or {}))

    with Recorder():
        work()
    return operations


def make_work(name: str, folder: str) -> Callable[[], object]:
    """One piece of work; its name consists of the model's size, the kind of work and a detail."""
    import torch

    from lmcraft.model.config import TransformerConfig
    from lmcraft.model.storage import load_model
    from lmcraft.model.transformer import Transformer

    size, kind, *detail = name.split(" ", 2)
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(**SMALL)) if size == "small" else load_model(Path(folder), dtype=torch.float32)
    model.eval().requires_grad_(kind == "training")
    if kind == "training":
        return lambda: training_step(model, *SHAPES[size])
    if kind == "decoding":
        return decode(model)
    return read(model, detail[0] if detail else "nothing")


def training_step(model: Any, batch: int, tokens: int) -> None:
    import torch

    ids = torch.arange(batch * tokens).view(batch, tokens) * 31 % model.config.vocab_size
    logits = model(ids)
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
    model.zero_grad(set_to_none=True)


def decode(model: Any) -> Callable[[], object]:
    from lmcraft.inference.engine import Engine
    from lmcraft.inference.generation_config import GenerationConfig
    from lmcraft.inference.request import Request

    engine = Engine(model, tier="eager")
    config = GenerationConfig(do_sample=False, max_new_tokens=DECODED_TOKENS)
    prompt = tuple(range(PROMPT_TOKENS))
    return lambda: engine.run([Request(prompt_ids=prompt, config=config, eos_token_ids=frozenset(), tokenizer=None)])


def read(model: Any, detail: str) -> Callable[[], object]:
    import torch

    ids = torch.arange(READ_TOKENS)[None] * 31 % model.config.vocab_size
    filters: dict[str, Any] = {
        "one point": "blocks.2.hook_resid_post",
        "residual streams": lambda name: name.endswith("hook_resid_post"),
        "attention patterns": lambda name: name.endswith("hook_pattern"),
        "results of heads": lambda name: name.endswith("hook_result"),
        "all but results": None,
    }

    @torch.no_grad()
    def work() -> object:
        if detail == "nothing":
            return model(ids)
        return model.run_with_cache(ids, filters[detail])

    return work


# The process that compares


def start(source: Path, folder: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": str(THREADS)}
    command = [sys.executable, __file__, folder, "--serve"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(worker: "subprocess.Popen[str]", name: str, repeats: int) -> Any:
    """Seconds and peak of the memory, or for 0 repeats the operations."""
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(json.dumps([name, repeats]) + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def measure(jobs: dict[str, tuple["subprocess.Popen[str]", str]], rounds: int, repeats: int) -> dict[str, Any]:
    """The seconds and peaks of each job in each round, (rounds, 2)."""
    import numpy as np

    for worker, name in jobs.values():
        ask(worker, name, 1)
    order, figures = random.Random(0), {label: [] for label in jobs}
    for _ in range(rounds):
        for label in order.sample(list(jobs), len(jobs)):
            figures[label].append(ask(*jobs[label], repeats))
    return {label: np.array(values) for label, values in figures.items()}


def ratio(figures: Any, others: Any) -> str:
    """The ratio of the first quartiles of seconds, with its interval."""
    import numpy as np

    from lmcraft.statistics.bootstrap import bootstrap
    from lmcraft.statistics.intervals import describe_metric

    def quartiles(rounds: Any) -> Any:
        first, second = np.quantile(rounds, 0.25, axis=1).T
        return first / second

    return describe_metric(vars(bootstrap(np.stack((figures[:, 0], others[:, 0]), axis=1), quartiles)))


def unused(folder: str, before: Path, rounds: int) -> Iterator[str]:
    import numpy as np

    columns = ("before, ms", "ratio", "ratio of two equal processes", "peak before, MB", "now", "operations before", "now")
    yield f"| work | {' | '.join(columns)} |"
    yield "|---|---|---|---|---|---|---|---|"
    for size in SHAPES:
        for kind in ("training", "decoding"):
            workers = {"before": start(before, folder), "now": start(SOURCE, folder), "again": start(SOURCE, folder)}
            jobs = {label: (worker, f"{size} {kind}") for label, worker in workers.items()}
            figures = measure(jobs, rounds if size == "large" else 4 * rounds, 1)
            before_list, now_list = (ask(*jobs[label], 0) for label in ("before", "now"))
            same = "the same" if before_list == now_list else f"{len(now_list)}, others"
            for worker in workers.values():
                worker.kill()
                worker.wait()
            cells = [f"{np.quantile(figures['before'][:, 0], 0.25) * 1000:.1f}"]
            cells += [ratio(figures["now"], figures["before"]), ratio(figures["again"], figures["now"])]
            cells += [f"{np.median(figures[label][:, 1]) / 1e6:.0f}" for label in ("before", "now")]
            yield f"| {size}, {kind} | {' | '.join(cells)} | {len(before_list)} | {same} |"


def used(folder: str, rounds: int) -> Iterator[str]:
    import numpy as np

    yield f"\n| reads, {READ_TOKENS} tokens | ms | ratio to no hooks | peak, MB more |\n|---|---|---|---|"
    names = ("nothing", "one point", "residual streams", "attention patterns", "results of heads", "all but results")
    workers = {name: start(SOURCE, folder) for name in ("nothing",)}
    for name in names[1:]:
        workers[name] = start(SOURCE, folder)
        jobs = {label: (workers[label], f"large reading {label}") for label in ("nothing", name)}
        figures = measure(jobs, rounds, 1)
        workers.pop(name).kill()
        milliseconds = np.quantile(figures[name][:, 0], 0.25) * 1000
        more = np.median(figures[name][:, 1] - figures["nothing"][:, 1])
        yield f"| {name} | {milliseconds:.1f} | {ratio(figures[name], figures['nothing'])} | {more / 1e6:.0f} |"
    workers["nothing"].kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--serve", action="store_true")
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.model)
    if arguments.before is not None:
        for line in unused(arguments.model, arguments.before, arguments.rounds):
            print(line, flush=True)
    for line in used(arguments.model, arguments.rounds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
