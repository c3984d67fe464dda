"""Generation speed against transformers, CTranslate2 and llama.cpp: 1 stream, 8 streams, a prompt, a repetitive text.

    python benchmarks/generate.py MODEL_FOLDER            # lmcraft pull smollm2-135m-instruct
    python benchmarks/generate.py MODEL_FOLDER --grow OUT  # creates a model of 0.5B parameters and its GGUF files

Every measurement runs in its own process, and the peers take turns; the table shows the median of the rounds. Peers that are
not installed are skipped (`pip install ctranslate2`, and llama-cpp-python built from source, on machines with AMX with
CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON -DGGML_AVX2=ON -DGGML_FMA=ON").
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

NEW_TOKENS = 128
PROMPT = "The history of the city begins with a river. "
PROMPT_TOKENS = 1024
CODE = "".join(f"def area_{n}(width, height):\n    return {n} * width * height\n\n" for n in (3, 1, 4, 1, 5, 9, 2, 6))
REPEATS = f"# shapes.py\n{CODE}# shapes.py, the same file again\n{CODE[:40]}"

Measure = Callable[[Path, int], dict[str, float]]


def measure_seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def lmcraft(weights: str) -> Measure:
    def measure(folder: Path, threads: int) -> dict[str, float]:
        import torch

        import lmcraft
        from lmcraft.inference.engine import Engine
        from lmcraft.inference.generation_config import GenerationConfig
        from lmcraft.inference.request import Request

        torch.set_num_threads(threads)
        model = lmcraft.load(folder, dtype=torch.bfloat16, weights=weights)
        ids = model.tokenizer.encode(PROMPT)
        engines = {lookup: Engine(model.transformer, weights=weights, prompt_lookup=lookup) for lookup in (False, True)}  # type: ignore[arg-type]

        def text(prompt: list[int], new: int, streams: int = 1, lookup: bool = False) -> float:
            config = GenerationConfig(do_sample=False, max_new_tokens=new)
            engine = engines[lookup]
            for n in range(streams):
                engine.submit(Request(prompt_ids=(*prompt, n), config=config))

            def run() -> None:
                while engine.has_work:
                    engine.step()

            return measure_seconds(run)

        text(ids, 16)
        one, eight = text(ids, NEW_TOKENS) - text(ids, 1), text(ids, NEW_TOKENS, 8) - text(ids, 1, 8)
        long = (ids * PROMPT_TOKENS)[:PROMPT_TOKENS]
        prefill = min(text([n, *long[1:-1]], 1) for n in range(2, 5))
        again = model.tokenizer.encode(REPEATS)
        plain, looked = (text(again, NEW_TOKENS, lookup=lookup) - text(again, 1, lookup=lookup) for lookup in (False, True))
        return {
            "1 stream": (NEW_TOKENS - 1) / one,
            "8 streams": 8 * (NEW_TOKENS - 1) / eight,
            "prompt": PROMPT_TOKENS / prefill,
            "lookup": plain / looked,
        }

    return measure


def transformers(folder: Path, threads: int) -> dict[str, float]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    ids = AutoTokenizer.from_pretrained(folder)(PROMPT, return_tensors="pt").input_ids

    def text(ids: torch.Tensor, new: int) -> float:
        return measure_seconds(lambda: model.generate(ids, max_new_tokens=new, min_new_tokens=new, do_sample=False))

    text(ids, 4)
    one, eight = text(ids, 48) - text(ids, 1), text(ids.repeat(8, 1), 48) - text(ids.repeat(8, 1), 1)
    long = ids.repeat(1, PROMPT_TOKENS)[:, :PROMPT_TOKENS]
    return {
        "1 stream": 47 / one,
        "8 streams": 8 * 47 / eight,
        "prompt": PROMPT_TOKENS / min(text(long, 1) for _ in range(3)),
    }


def ctranslate2(folder: Path, threads: int) -> dict[str, float]:
    import ctranslate2 as ct
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    with tempfile.TemporaryDirectory() as converted:
        ct.converters.TransformersConverter(str(folder)).convert(converted, quantization="int8", force=True)
        model = ct.Generator(converted, intra_threads=threads, compute_type="int8")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(PROMPT).input_ids)

    def text(tokens: list[str], new: int, streams: int = 1) -> float:
        options = {"max_length": new, "min_length": new, "include_prompt_in_result": False, "sampling_topk": 1}
        return measure_seconds(lambda: model.generate_batch([tokens] * streams, **options))

    text(tokens, 8)
    one, eight = text(tokens, NEW_TOKENS) - text(tokens, 1), text(tokens, NEW_TOKENS, 8) - text(tokens, 1, 8)
    long = (tokens * PROMPT_TOKENS)[:PROMPT_TOKENS]
    return {
        "1 stream": (NEW_TOKENS - 1) / one,
        "8 streams": 8 * (NEW_TOKENS - 1) / eight,
        "prompt": PROMPT_TOKENS / min(text(long, 1) for _ in range(3)),
    }


def llama_cpp(dtype: str) -> Measure:
    def measure(folder: Path, threads: int) -> dict[str, float]:
        from llama_cpp import Llama

        file = folder.parent / f"{folder.name}.{dtype}.gguf"
        model = Llama(str(file), n_ctx=2048, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False)
        ids = model.tokenize(PROMPT.encode())

        def text(prompt: list[int], new: int) -> float:
            model.reset()

            def run() -> None:
                for count, _ in enumerate(model.generate(prompt, temp=0, reset=True), start=1):
                    if count == new:
                        return

            return measure_seconds(run)

        text(ids, 8)
        long = (ids * PROMPT_TOKENS)[: PROMPT_TOKENS - 1]
        prefill = min(text([n, *long], 1) for n in range(2, 5))
        return {
            "1 stream": (NEW_TOKENS - 1) / (text([9, *ids], NEW_TOKENS) - text([8, *ids], 1)),
            "prompt": PROMPT_TOKENS / prefill,
        }

    return measure


PEERS: dict[str, tuple[str, Measure]] = {
    "lmcraft int8": ("lmcraft", lmcraft("int8")),
    "lmcraft int4": ("lmcraft", lmcraft("int4")),
    "lmcraft bf16": ("lmcraft", lmcraft("bfloat16")),
    "transformers bf16": ("transformers", transformers),
    "CTranslate2 int8": ("ctranslate2", ctranslate2),
    "llama.cpp F16": ("llama_cpp", llama_cpp("float16")),
    "llama.cpp Q8_0": ("llama_cpp", llama_cpp("q8_0")),
    "llama.cpp Q4_1": ("llama_cpp", llama_cpp("q4_1")),
}


def bandwidth(threads: int) -> float:
    """Memory bandwidth in bytes per second: torch sums 512 MiB of integers."""
    import torch

    torch.set_num_threads(threads)
    numbers = torch.ones(2**26, dtype=torch.int64)
    return 2**29 / min(measure_seconds(numbers.sum) for _ in range(16))


def grow(folder: Path, out: Path) -> None:
    """Create a random Llama of 0.5B parameters with the vocabulary of `folder`; random weights are as fast as trained."""
    import torch

    import lmcraft
    from lmcraft.cli import main as command
    from lmcraft.language_model import LanguageModel
    from lmcraft.model.transformer import Transformer

    small = lmcraft.load(folder)
    config = replace(
        small.transformer.config,
        hidden_size=1152,
        num_hidden_layers=24,
        num_attention_heads=18,
        num_key_value_heads=6,
        intermediate_size=4608,
    )
    torch.manual_seed(0)
    LanguageModel(Transformer(config).to(torch.bfloat16), small.tokenizer).save(out)
    for dtype in ("float16", "q8_0"):
        command(["export", str(out), str(out.parent / f"{out.name}.{dtype}.gguf"), "--dtype", dtype])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only peers whose names begin with this")
    parser.add_argument("--grow", type=Path, metavar="OUT", help="create the larger model, and exit")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(PEERS[args.one][1](args.folder, args.threads)))
        return
    if args.grow:
        return grow(args.folder, args.grow)
    installed = [n for n, (package, _) in PEERS.items() if importlib.util.find_spec(package) and n.startswith(args.only)]
    results: dict[str, list[dict[str, float]]] = {name: [] for name in installed}
    for _ in range(args.rounds):
        print(f"reading memory: {bandwidth(args.threads) / 1e9:.1f} GB/s on {args.threads} threads", flush=True)
        for name in installed:
            command = [sys.executable, __file__, str(args.folder), "--one", name, "--threads", str(args.threads)]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode:
                stderr_lines = run.stderr.strip().splitlines() or [f"ended with status {run.returncode}"]
                print(f"{name}: {stderr_lines[-1][:150]}", file=sys.stderr)
                continue
            results[name].append(json.loads(run.stdout.splitlines()[-1]))
    columns = ("1 stream", "8 streams", "prompt", "lookup")
    print("| | 1 stream, tok/s | 8 streams, tok/s | prompt of 1,024, tok/s | lookup |\n|---|---|---|---|---|")
    for name, runs in results.items():
        cells = [[run[column] for run in runs if column in run] for column in columns]
        print(f"| {name} | " + " | ".join(f"{statistics.median(cell):,.1f}" if cell else "" for cell in cells) + " |")


if __name__ == "__main__":
    main()
