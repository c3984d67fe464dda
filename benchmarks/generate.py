"""Generation speed against transformers, CTranslate2, llama.cpp and OpenVINO GenAI: 1 and 8 streams, prompts, speculation.

    lmcraft pull smollm2-135m-instruct
    python benchmarks/generate.py MODEL_FOLDER --export    # writes its GGUF files beside the folder, and stops
    python benchmarks/generate.py MODEL_FOLDER             # --only lmcraft llama.cpp: names that begin so
    python benchmarks/generate.py MODEL_FOLDER --isa x86-64-v3
    python benchmarks/generate.py MODEL_FOLDER --no-compiler --only "lmcraft bf16" "lmcraft fp32" transformers
    python benchmarks/generate.py MODEL_FOLDER --grow OUT  # creates a model of 0.5B parameters and its GGUF files

Every measurement runs in its own process, and the engines take turns; the table shows the median of the rounds. Peers that
are not installed are skipped: `pip install ctranslate2 openvino-genai`, and llama-cpp-python built from source, for
x86-64-v3 with CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON", for AVX-512 with
"-DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON" as well. The files of 4 bits come from llama.cpp's
`llama-quantize MODEL.float16.gguf MODEL.q4_0.gguf Q4_0`.

`--isa` compiles ours for this instruction set, and for x86-64-v3 hides AVX-512 from the peers that have a setting for it.
OpenVINO has none for its own kernels: on a processor with AVX-512 it fails or uses it. `--no-compiler` hides the C++
compiler from ours, so that PyTorch decodes.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmcraft.model.transformer import Transformer

NEW_TOKENS = 128
PROMPT = "The history of the city begins with a river. "
PROMPT_TOKENS = 1024
CODE = "".join(f"def area_{n}(width, height):\n    return {n} * width * height\n\n" for n in (3, 1, 4, 1, 5, 9, 2, 6))
REPEATS = f"# shapes.py\n{CODE}# shapes.py, the same file again\n{CODE[:40]}"

STORY = (
    "Write a story about a lighthouse keeper who finds a letter in a bottle, and about the people whom she asks for help."
)
PROMPTS, TOKENS_PER_PROMPT = 8, 256
NO_COMPILER = "/no-compiler"
BYTES_PER_WEIGHT = {"int8": 1, "int4": 18 / 32, "bfloat16": 2, "float32": 4}
HIDE_AVX512 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "CT2_FORCE_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}

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
        bytes_per_second = bandwidth(threads)
        dtype = torch.float32 if weights == "float32" else torch.bfloat16
        model = lmcraft.load(folder, dtype=dtype, weights=weights)
        ids = model.tokenizer.encode(PROMPT)
        engines = {lookup: Engine(model.transformer, weights=weights, prompt_lookup=lookup) for lookup in (False, True)}  # type: ignore[arg-type]

        native = engines[True].tier == "native"

        def first_tokens(
            prompts: list[list[int]], new: int = 1, lookup: bool = False, penalty: float = 1.0
        ) -> tuple[list[float], float]:
            """The time until the first token of each prompt, and until the last of all."""
            config = GenerationConfig(do_sample=False, max_new_tokens=new, repetition_penalty=penalty)
            engine = engines[lookup]
            running = [engine.submit(Request(prompt_ids=tuple(prompt), config=config)) for prompt in prompts]
            seconds, start = {}, time.perf_counter()
            while engine.has_work:
                engine.step()
                now = time.perf_counter() - start
                seconds |= {n: now for n, sequence in enumerate(running) if sequence.generated and n not in seconds}
            return sorted(seconds.values()), now

        def decode(prompt: list[int], streams: int = 1, lookup: bool = False, penalty: float = 1.0) -> float:
            """Tokens per second after the first of each stream."""
            prompts = [[*prompt, n] for n in range(streams)]
            seconds = [first_tokens(prompts, new, lookup, penalty)[1] for new in (NEW_TOKENS, 1)]
            return streams * (NEW_TOKENS - 1) / (seconds[0] - seconds[1])

        def speedup(text: str, penalty: float = 1.0) -> float:
            prompt = model.tokenizer.encode(text)
            speeds = [[decode(prompt, 1, lookup, penalty) for lookup in (False, True)] for _ in range(3)]
            return statistics.median(looked for _, looked in speeds) / statistics.median(plain for plain, _ in speeds)

        first_tokens([ids], 16)
        one = decode(ids)
        long = (ids * PROMPT_TOKENS * 2)[: PROMPTS * TOKENS_PER_PROMPT]
        prefill = min(first_tokens([[n, *long[: PROMPT_TOKENS - 1]]])[1] for n in range(2, 5))
        together = min(first_tokens([[n, *long[1:]]])[1] for n in range(5, 7))
        prompts = [[[m, n, *long[: TOKENS_PER_PROMPT - 2]] for n in range(PROMPTS)] for m in range(7, 9)]
        last = min(statistics.quantiles(first_tokens(eight)[0], n=20, method="inclusive")[-1] for eight in prompts)
        return {
            "1 stream": one,
            "of the limit, %": 100 * one * bytes_per_token(model.transformer, weights) / bytes_per_second,
            "8 streams": decode(ids, 8),
            "prompt": PROMPT_TOKENS / prefill,
            "8 prompts": last / together,
            **({"repeats": speedup(REPEATS), "does not": speedup(STORY, penalty=1.3)} if native else {}),
        }

    return measure


def bytes_per_token(transformer: "Transformer", weights: str) -> float:
    """Bytes of the matrices that a decode step reads; the output projection of int4 has 8 bits."""
    head = transformer.embed_tokens.weight.numel()
    layers = sum(parameter.numel() for parameter in transformer.layers.parameters())
    return layers * BYTES_PER_WEIGHT[weights] + head * BYTES_PER_WEIGHT["int8" if weights == "int4" else weights]


def transformers(dtype: str) -> Measure:
    def measure(folder: Path, threads: int) -> dict[str, float]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(threads)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
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

    return measure


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

        model = Llama(
            str(gguf_file(folder, dtype)), n_ctx=2048, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False
        )
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


def openvino_genai(dtype: str) -> Measure:
    def measure(folder: Path, threads: int) -> dict[str, float]:
        import numpy as np
        import openvino as ov
        import openvino_genai as genai
        from transformers import AutoTokenizer

        model = genai.LLMPipeline(str(gguf_file(folder, dtype)), "CPU", INFERENCE_NUM_THREADS=threads)
        ids = AutoTokenizer.from_pretrained(folder)(PROMPT).input_ids

        def text(prompt: list[int], new: int, streams: int = 1) -> float:
            config = genai.GenerationConfig(max_new_tokens=new, min_new_tokens=new, ignore_eos=True, do_sample=False)
            tokens = np.array([prompt] * streams, dtype=np.int64)
            inputs = genai.TokenizedInputs(ov.Tensor(tokens), ov.Tensor(np.ones_like(tokens)))
            return measure_seconds(lambda: model.generate(inputs, config))

        text(ids, 8)
        one, eight = text(ids, NEW_TOKENS) - text(ids, 1), text(ids, NEW_TOKENS, 8) - text(ids, 1, 8)
        long = (ids * PROMPT_TOKENS)[: PROMPT_TOKENS - 1]
        return {
            "1 stream": (NEW_TOKENS - 1) / one,
            "8 streams": 8 * (NEW_TOKENS - 1) / eight,
            "prompt": PROMPT_TOKENS / min(text([n, *long], 1) for n in range(2, 5)),
        }

    return measure


def gguf_file(folder: Path, dtype: str) -> Path:
    file = folder.parent / f"{folder.name}.{dtype}.gguf"
    if not file.is_file():
        sys.exit(f"there is no '{file}': --export and llama-quantize write it")
    return file


PEERS: dict[str, tuple[str, Measure]] = {
    "lmcraft int8": ("lmcraft", lmcraft("int8")),
    "lmcraft int4": ("lmcraft", lmcraft("int4")),
    "lmcraft bf16": ("lmcraft", lmcraft("bfloat16")),
    "lmcraft fp32": ("lmcraft", lmcraft("float32")),
    "transformers fp32": ("transformers", transformers("float32")),
    "transformers bf16": ("transformers", transformers("bfloat16")),
    "CTranslate2 int8": ("ctranslate2", ctranslate2),
    **{f"llama.cpp {dtype}": ("llama_cpp", llama_cpp(dtype.lower())) for dtype in ("Q8_0", "Q4_0", "Q4_K_M")},
    "llama.cpp F16": ("llama_cpp", llama_cpp("float16")),
    **{f"OpenVINO GenAI {dtype}": ("openvino_genai", openvino_genai(dtype.lower())) for dtype in ("Q8_0", "Q4_0")},
    "OpenVINO GenAI F16": ("openvino_genai", openvino_genai("float16")),
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
    export(out)


def export(folder: Path) -> None:
    """Write the GGUF files that the peers open, except those of 4 bits."""
    from lmcraft.cli import main as command

    for dtype in ("float16", "q8_0"):
        command(["export", str(folder), str(folder.parent / f"{folder.name}.{dtype}.gguf"), "--dtype", dtype])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[""], help="only engines whose names begin with one of these")
    parser.add_argument("--isa", metavar="ISA", help="instruction set for ours, and limit of the peers: x86-64-v3")
    parser.add_argument("--no-compiler", action="store_true", help="ours runs as on a machine without a C++ compiler")
    parser.add_argument("--export", action="store_true", help="write the GGUF files, and exit")
    parser.add_argument("--grow", type=Path, metavar="OUT", help="create the larger model, and exit")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.isa:
        os.environ |= {"LMCRAFT_ISA": args.isa} | (HIDE_AVX512 if args.isa == "x86-64-v3" else {})
    if args.no_compiler:
        os.environ["CXX"] = NO_COMPILER
    if args.one:
        print(json.dumps(PEERS[args.one][1](args.folder, args.threads)))
        return
    if args.grow:
        return grow(args.folder, args.grow)
    if args.export:
        return export(args.folder)
    names = [name for name in PEERS if name.startswith(tuple(args.only)) and importlib.util.find_spec(PEERS[name][0])]
    show(measure_in_turns(args.folder, args.threads, names, args.rounds))


def measure_in_turns(folder: Path, threads: int, names: list[str], rounds: int) -> dict[str, list[dict[str, float]]]:
    results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        print(f"reading memory: {bandwidth(threads) / 1e9:.1f} GB/s on {threads} threads", flush=True)
        for name in names:
            command = [sys.executable, __file__, str(folder), "--one", name, "--threads", str(threads)]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode:
                stderr_lines = run.stderr.strip().splitlines() or [f"ended with status {run.returncode}"]
                print(f"{name}: {stderr_lines[-1][:150]}", file=sys.stderr)
                continue
            results[name].append(json.loads(run.stdout.splitlines()[-1]))
    return results


def show(results: dict[str, list[dict[str, float]]]) -> None:
    """Print the medians. "8 prompts": time to the first token (p95), over the time of their tokens as one prompt. "repeats",
    "does not": speed with prompt lookup over the speed without, on a text that repeats and on one that does not."""
    columns = ("1 stream", "of the limit, %", "8 streams", "prompt", "8 prompts", "repeats", "does not")
    print("| | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for name, runs in results.items():
        cells = [[run[column] for run in runs if column in run] for column in columns]
        medians = [statistics.median(cell) if cell else None for cell in cells]
        print(f"| {name} | " + " | ".join("" if x is None else f"{x:,.1f}" if x > 5 else f"{x:.2f}" for x in medians) + " |")


if __name__ == "__main__":
    main()
