"""Tokens a second of generation beside transformers, CTranslate2 and llama.cpp: 1 stream, 8, a prompt, a text that repeats.

    python benchmarks/generate.py MODEL_FOLDER            # lmcraft pull smollm2-135m-instruct
    python benchmarks/generate.py MODEL_FOLDER --grow OUT  # makes a larger one, 0.5B, and GGUF files of it

Every measurement runs in a process of its own, the peers taking turns; the median of the rounds is shown. Peers that are
not installed are left out (`pip install ctranslate2`, and llama-cpp-python built from source, on machines with AMX with
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

NEW = 128
PROMPT = "The history of the city begins with a river. "
LONG = 1024
CODE = "".join(f"def area_{n}(width, height):\n    return {n} * width * height\n\n" for n in (3, 1, 4, 1, 5, 9, 2, 6))
REPEATS = f"# shapes.py\n{CODE}# shapes.py, the same file again\n{CODE[:40]}"

Measure = Callable[[Path, int], dict[str, float]]


def clocked(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


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
                while engine.has_unfinished_requests:
                    engine.step()

            return clocked(run)

        text(ids, 16)
        one, eight = text(ids, NEW) - text(ids, 1), text(ids, NEW, 8) - text(ids, 1, 8)
        long = (ids * LONG)[:LONG]
        prefill = min(text([n, *long[1:-1]], 1) for n in range(2, 5))
        again = model.tokenizer.encode(REPEATS)
        plain, looked = (text(again, NEW, lookup=lookup) - text(again, 1, lookup=lookup) for lookup in (False, True))
        return {
            "1 stream": (NEW - 1) / one,
            "8 streams": 8 * (NEW - 1) / eight,
            "prompt": LONG / prefill,
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
        return clocked(lambda: model.generate(ids, max_new_tokens=new, min_new_tokens=new, do_sample=False))

    text(ids, 4)
    one, eight = text(ids, 48) - text(ids, 1), text(ids.repeat(8, 1), 48) - text(ids.repeat(8, 1), 1)
    long = ids.repeat(1, LONG)[:, :LONG]
    return {"1 stream": 47 / one, "8 streams": 8 * 47 / eight, "prompt": LONG / min(text(long, 1) for _ in range(3))}


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
        return clocked(lambda: model.generate_batch([tokens] * streams, **options))

    text(tokens, 8)
    one, eight = text(tokens, NEW) - text(tokens, 1), text(tokens, NEW, 8) - text(tokens, 1, 8)
    long = (tokens * LONG)[:LONG]
    return {
        "1 stream": (NEW - 1) / one,
        "8 streams": 8 * (NEW - 1) / eight,
        "prompt": LONG / min(text(long, 1) for _ in range(3)),
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

            return clocked(run)

        text(ids, 8)
        long = (ids * LONG)[: LONG - 1]
        prefill = min(text([n, *long], 1) for n in range(2, 5))
        return {"1 stream": (NEW - 1) / (text([9, *ids], NEW) - text([8, *ids], 1)), "prompt": LONG / prefill}

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
    """Bytes a second of reading 512 MiB, in torch's fastest way."""
    import torch

    torch.set_num_threads(threads)
    numbers = torch.ones(2**26, dtype=torch.int64)
    return 2**29 / min(clocked(numbers.sum) for _ in range(16))


def grow(folder: Path, out: Path) -> None:
    """Make a Llama of 0.5B parameters with the vocabulary of `folder`: what it says is noise, and as fast as sense."""
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
    parser.add_argument("--only", default="", help="peers whose names begin so")
    parser.add_argument("--grow", type=Path, metavar="OUT", help="make the larger model, and end")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(PEERS[args.one][1](args.folder, args.threads)))
        return
    if args.grow:
        return grow(args.folder, args.grow)
    there = [n for n, (package, _) in PEERS.items() if importlib.util.find_spec(package) and n.startswith(args.only)]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in there}
    for _ in range(args.rounds):
        print(f"reading memory: {bandwidth(args.threads) / 1e9:.1f} GB/s on {args.threads} threads", flush=True)
        for name in there:
            command = [sys.executable, __file__, str(args.folder), "--one", name, "--threads", str(args.threads)]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode:
                said = run.stderr.strip().splitlines() or [f"ended with status {run.returncode}"]
                print(f"{name}: {said[-1][:150]}", file=sys.stderr)
                continue
            found[name].append(json.loads(run.stdout.splitlines()[-1]))
    columns = ("1 stream", "8 streams", "prompt", "lookup")
    print("| | 1 stream, tok/s | 8 streams, tok/s | prompt of 1,024, tok/s | lookup |\n|---|---|---|---|---|")
    for name, runs in found.items():
        cells = [[run[column] for run in runs if column in run] for column in columns]
        print(f"| {name} | " + " | ".join(f"{statistics.median(cell):,.1f}" if cell else "" for cell in cells) + " |")


if __name__ == "__main__":
    main()
