"""Time to open a 135M model and memory after its first step, against transformers, in fresh processes that take turns.

python benchmarks/load.py [FOLDER]
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 5
MEASURE = """
import json, resource, sys, time
import torch
{imports}
def memory():
    lines = open("/proc/self/status").read().split("\\n")
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
before, start = memory(), time.perf_counter()
model = {load}
open_seconds = time.perf_counter() - start
with torch.inference_mode():
    model(torch.arange(64)[None])
print(json.dumps([open_seconds, memory() - before]))
"""
PEERS = {
    "lmcraft": ("from lmcraft.model.storage import load_model; from pathlib import Path", "load_model(Path(sys.argv[1]))"),
    "transformers": (
        "from transformers import LlamaForCausalLM",
        "LlamaForCausalLM.from_pretrained(sys.argv[1], dtype='auto').eval()",
    ),
}


def make_model(folder: Path) -> None:
    """SmolLM2-135M's shape with random weights."""
    import torch

    from lmcraft import Transformer, TransformerConfig
    from lmcraft.model.storage import save_model

    torch.manual_seed(0)
    sizes = {"vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536}
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "max_position_embeddings": 8192}
    save_model(Transformer(TransformerConfig(**sizes, **heads, qk_norm=False, family="llama")), folder, {})


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)
        if len(sys.argv) < 2:
            make_model(folder)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 2**20
        results: dict[str, list[list[float]]] = {name: [] for name in PEERS}
        for _ in range(ROUNDS):
            for name, (imports, load) in PEERS.items():
                script = MEASURE.format(imports=imports, load=load)
                run = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
                results[name].append(json.loads(run.stdout.splitlines()[-1]))
    print(f"| | open, s | memory after one step / size ({size:.0f} MiB) |\n|---|---|---|")
    for name, rows in results.items():
        seconds, memory = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"| {name} | {seconds:.2f} | {memory / size:.2f} |")


if __name__ == "__main__":
    main()
