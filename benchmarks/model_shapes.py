"""Memory and decoding speed of the models in docs/models.md, on this machine: random weights of the same shapes.

    python benchmarks/model_shapes.py            # each of SHAPES, smallest first
    python benchmarks/model_shapes.py qwen3-0.6b

Random weights are as large and as fast as trained ones. Each model is measured in a process of its own, with int8 and with
int4 weights: bytes of the matrices, peak memory of the process while it decodes, and tokens per second of one stream after a
prompt of 32 tokens (the median of three texts of 48 tokens).
"""

import json
import statistics
import subprocess
import sys
import time

SHAPES = {  # layers, width, inner width, heads, key-value heads, head width, vocabulary, other settings
    "smollm2-135m": (30, 576, 1536, 9, 3, 64, 49152, {}),
    "gemma-3-270m": (18, 640, 2048, 4, 1, 256, 262144, {"feed_forward": "geglu", "qk_norm": True}),
    "smollm2-360m": (32, 960, 2560, 15, 5, 64, 49152, {}),
    "qwen2.5-0.5b": (24, 896, 4864, 14, 2, 64, 151936, {"attention_bias": "qkv"}),
    "qwen3-0.6b": (28, 1024, 3072, 16, 8, 128, 151936, {"qk_norm": True}),
    "gemma-3-1b": (26, 1152, 6912, 4, 1, 256, 262144, {"feed_forward": "geglu", "qk_norm": True}),
    "tinyllama-1.1b": (22, 2048, 5632, 32, 4, 64, 32000, {"tie_word_embeddings": False}),
    "llama-3.2-1b": (16, 2048, 8192, 32, 8, 64, 128256, {}),
    "olmo-2-1b": (16, 2048, 8192, 16, 16, 128, 100352, {"tie_word_embeddings": False, "qk_norm": True}),
    "smollm2-1.7b": (24, 2048, 8192, 32, 32, 64, 49152, {}),
    "qwen3-1.7b": (28, 2048, 6144, 16, 8, 128, 151936, {"qk_norm": True}),
    "llama-3.2-3b": (28, 3072, 8192, 24, 8, 128, 128256, {}),
    "phi-4-mini": (32, 3072, 8192, 24, 8, 128, 200064, {}),
    "qwen3-4b": (36, 2560, 9728, 32, 8, 128, 151936, {"qk_norm": True}),
}
PROMPT_TOKENS, NEW_TOKENS, TEXTS = 32, 48, 3


def measure(name: str, weights: str) -> dict[str, float]:
    """Decode texts with a model of this shape; runs in a process of its own."""
    import torch

    from lmcraft.language_model import LanguageModel
    from lmcraft.machine import peak_memory
    from lmcraft.model.config import TransformerConfig
    from lmcraft.model.transformer import Transformer
    from lmcraft.tokenizer.train import train_bpe

    layers, width, inner, heads, kv_heads, head_width, vocabulary, others = SHAPES[name]
    settings = {
        "norm": "rmsnorm",
        "position": "rotary",
        "feed_forward": "swiglu",
        "tie_word_embeddings": True,
        "qk_norm": False,
    } | others
    config = TransformerConfig(
        vocab_size=vocabulary,
        max_position_embeddings=2048,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_width,
        intermediate_size=inner,
        **settings,
    )
    torch.set_default_dtype(torch.bfloat16)
    transformer = Transformer(config)
    torch.set_default_dtype(torch.float32)
    model = LanguageModel(transformer, train_bpe(["a b c"], vocab_size=260), weights=weights)
    prompt = torch.arange(PROMPT_TOKENS)[None]
    model.generate(prompt, max_new_tokens=2, min_new_tokens=2)
    seconds = []
    for seed in range(TEXTS):
        begin = time.perf_counter()
        model.generate(prompt + seed, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=True, seed=seed)
        seconds.append(time.perf_counter() - begin)
    parameters = sum(parameter.numel() for parameter in transformer.parameters())
    return {"parameters": parameters, "peak": peak_memory(), "speed": NEW_TOKENS / statistics.median(seconds)}


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(*sys.argv[2:])))
        return
    print("| model | parameters | int8: peak memory, tokens/s | int4: peak memory, tokens/s |\n|---|---|---|---|")
    for name in sys.argv[1:] or SHAPES:
        cells = []
        for weights in ("int8", "int4"):
            run = subprocess.run(
                [sys.executable, __file__, "--one", name, weights], capture_output=True, text=True, check=True
            )
            result = json.loads(run.stdout.splitlines()[-1])
            cells.append(f"{result['peak'] / 2**30:.1f} GiB, {result['speed']:.1f}")
        print(f"| {name} | {result['parameters'] / 1e6:,.0f}M | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
