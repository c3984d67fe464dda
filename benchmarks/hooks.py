"""What hook points cost: unused, against the code before they existed, and used, against the same model without hooks.

One process imports both checkouts, whose models share their weights, and lets them do the same work in turns, in a random
order. The figures are processor seconds (the first quartile, since other processes only ever slow the work down), the memory
of tensors at its peak, and the list of PyTorch's operations with types and shapes. A second import of this checkout
shows how much two equal ones differ.

git worktree add /tmp/before 0a8d8e3c
OMP_NUM_THREADS=1 python benchmarks/hooks.py models/SmolLM2-135M-Instruct --before /tmp/before/src [--rounds 40]
"""

import argparse
import importlib
import random
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lmcraft.statistics.bootstrap import bootstrap
from lmcraft.statistics.intervals import describe_metric

Work = Callable[[], object]
SMALL = {"vocab_size": 4096, "max_position_embeddings": 512, "hidden_size": 256, "num_hidden_layers": 4}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 64, "intermediate_size": 768}
SHAPES = {"small": (2, 128), "SmolLM2": (1, 32)}  # batch and tokens of a training step
ROUNDS_PER_SMALL_MODEL = 5  # for one of the large model
PROMPT_TOKENS, DECODED_TOKENS, READ_TOKENS = 4, 4, 128
SOURCE = Path(__file__).parent.parent / "src"
FILTERS: dict[str, Any] = {
    "one point": "blocks.2.hook_resid_post",
    "residual streams": lambda name: name.endswith("hook_resid_post"),
    "attention patterns": lambda name: name.endswith("hook_pattern"),
    "results of heads": lambda name: name.endswith("hook_result"),
    "all but results": None,
}


class Checkout:
    """The package as it is in one source folder, beside other imports of it.

    Args:
        source: the folder of `lmcraft`.
    """

    def __init__(self, source: Path) -> None:
        with _without_package():
            sys.path.insert(0, str(source))
            self.transformer, self.config, self.storage, self.engine, self.settings, self.request = (
                importlib.import_module(f"lmcraft.{name}")
                for name in (
                    *("model.transformer", "model.config", "model.storage"),
                    *("inference.engine", "inference.generation_config", "inference.request"),
                )
            )
            sys.path.remove(str(source))
            assert Path(str(self.engine.__file__)).is_relative_to(source)
            self._modules = {name: module for name, module in sys.modules.items() if _is_ours(name)}

    @contextmanager
    def active(self) -> Any:
        """Imports within the package's functions are this checkout's."""
        with _without_package():
            sys.modules.update(self._modules)
            yield
            self._modules.update({name: module for name, module in sys.modules.items() if _is_ours(name)})

    def model(self, size: str, folder: str, weights: Any) -> Any:
        """The model, with the weights of another checkout's if there is one."""
        if size == "small":
            model = self.transformer.Transformer(self.config.TransformerConfig(**SMALL))
        else:
            model = self.storage.load_model(Path(folder), dtype=torch.float32)
        if weights is not None:
            model.load_state_dict(weights.state_dict(), assign=True)
        return model.eval()

    def training(self, model: Any, size: str) -> Work:
        """One step without the optimizer."""
        model.requires_grad_(True)
        batch, tokens = SHAPES[size]
        ids = torch.arange(batch * tokens).view(batch, tokens) * 31 % model.config.vocab_size

        def step() -> None:
            torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
            model.zero_grad(set_to_none=True)

        return step

    def decoding(self, model: Any, size: str) -> Work:
        """A short text from the engine with the eager runner."""
        model.requires_grad_(False)
        engine = self.engine.Engine(model, tier="eager")
        settings = self.settings.GenerationConfig(do_sample=False, max_new_tokens=DECODED_TOKENS)
        request, prompt = self.request.Request, tuple(range(PROMPT_TOKENS))
        return lambda: engine.run([request(prompt_ids=prompt, config=settings, eos_token_ids=frozenset(), tokenizer=None)])


def _is_ours(name: str) -> bool:
    return name == "lmcraft" or name.startswith("lmcraft.")


@contextmanager
def _without_package() -> Any:
    outside: dict[str, ModuleType] = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_ours(name)}
    yield
    for name in [name for name in sys.modules if _is_ours(name)]:
        del sys.modules[name]
    sys.modules.update(outside)


def list_operations(work: Work) -> list[str]:
    """Names of the operations that PyTorch does for some work, with the types and shapes of their tensors."""
    operations: list[str] = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            tensors = [f"{x.dtype}{tuple(x.shape)}" for x in args if isinstance(x, torch.Tensor)]
            operations.append(f"{function} {tensors}")
            return function(*args, **(kwargs or {}))

    with Recorder():
        work()
    return operations


def peak_megabytes(work: Work) -> float:
    """The most memory that tensors have at once during some work, beyond those that exist before."""
    work()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return float(np.cumsum(sizes).max() / 1e6)


def measure(works: dict[str, Work], rounds: int) -> dict[str, Any]:
    """Processor seconds of each work in each round."""
    order, figures = random.Random(0), {label: [] for label in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for label in order.sample(list(works), len(works)):
            start = time.process_time()
            works[label]()
            figures[label].append(time.process_time() - start)
    return {label: np.array(values) for label, values in figures.items()}


def ratio(figures: Any, others: Any) -> str:
    """The ratio of the first quartiles of seconds, with its interval."""

    def quartiles(rounds: Any) -> Any:
        first, second = np.quantile(rounds, 0.25, axis=1).T
        return first / second

    return describe_metric(vars(bootstrap(np.stack((figures, others), axis=1), quartiles)))


def compare_unused(folder: str, before: Path, rounds: int) -> None:
    columns = ("before, ms", "ratio", "ratio of two equal ones", "peak before, MB", "now", "operations before", "now")
    print(f"| work | {' | '.join(columns)} |\n|---|---|---|---|---|---|---|---|")
    checkouts = {"before": Checkout(before), "now": Checkout(SOURCE), "again": Checkout(SOURCE)}
    for size in SHAPES:
        for kind in ("training", "decoding"):
            works: dict[str, Work] = {}
            model = None
            for label, checkout in checkouts.items():
                with checkout.active():
                    model = checkout.model(size, folder, model)
                    works[label] = _activated(checkout, getattr(checkout, kind)(model, size))
            figures = measure(works, rounds * (ROUNDS_PER_SMALL_MODEL if size == "small" else 1))
            lists = {label: list_operations(works[label]) for label in ("before", "now")}
            same = "the same" if lists["before"] == lists["now"] else f"{len(lists['now'])}, others"
            cells = [f"{np.quantile(figures['before'], 0.25) * 1000:.1f}"]
            cells += [ratio(figures["now"], figures["before"]), ratio(figures["again"], figures["now"])]
            cells += [f"{peak_megabytes(works[label]):.2f}" for label in ("before", "now")]
            print(f"| {size}, {kind} | {' | '.join(cells)} | {len(lists['before'])} | {same} |", flush=True)


def _activated(checkout: Checkout, work: Work) -> Work:
    def run() -> None:
        with checkout.active():
            work()

    return run


def compare_used(folder: str, rounds: int) -> None:
    print(f"\n| reads, {READ_TOKENS} tokens | ms | ratio to no hooks | peak, MB |\n|---|---|---|---|")
    model = Checkout(SOURCE).model("SmolLM2", folder, None)
    ids = torch.arange(READ_TOKENS)[None] * 31 % model.config.vocab_size
    works: dict[str, Work] = {"nothing": lambda: model(ids)}
    works |= {label: lambda names=names: model.run_with_cache(ids, names) for label, names in FILTERS.items()}
    with torch.no_grad():
        figures = measure(works, rounds)
        for label, values in figures.items():
            milliseconds = np.quantile(values, 0.25) * 1000
            peak = peak_megabytes(works[label])
            print(f"| {label} | {milliseconds:.1f} | {ratio(values, figures['nothing'])} | {peak:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.before is not None:
        compare_unused(arguments.model, arguments.before, arguments.rounds)
    compare_used(arguments.model, arguments.rounds)


if __name__ == "__main__":
    main()
