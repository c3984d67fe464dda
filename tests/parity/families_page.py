"""The table of docs/families.md: which model types open, and what each can do. `scripts/docs-tables` writes it."""

import json

from lmcraft.gguf.architectures import ARCHITECTURES
from lmcraft.inference.native.coverage import missing_part
from lmcraft.model.families import family_of
from lmcraft.model.language_part import LANGUAGE_PARTS
from tests.parity.cases import CASES, OPEN, configuration

# What people download as this model type.
MODELS = {
    "afmoe": "Trinity",
    "apertus": "Apertus",
    "arcee": "AFM-4.5B",
    "aria_text": "Aria (text)",
    "bamba": "Bamba",
    "biogpt": "BioGPT",
    "bitnet": "BitNet b1.58 (bf16 weights)",
    "bloom": "BLOOM, BLOOMZ",
    "codegen": "CodeGen",
    "cohere": "Command R, Aya 23",
    "cohere2": "Command R7B, Command A",
    "cwm": "Code World Model",
    "dbrx": "DBRX",
    "deepseek_v2": "DeepSeek-V2, V2-Lite, Coder-V2",
    "deepseek_v3": "DeepSeek-V3, R1, Moonlight",
    "dots1": "dots.llm1",
    "ernie4_5": "ERNIE 4.5 0.3B",
    "ernie4_5_moe": "ERNIE 4.5 21B-A3B, 300B-A47B",
    "exaone": "EXAONE 3",
    "exaone4": "EXAONE 4",
    "exaone_moe": "K-EXAONE",
    "falcon": "Falcon 7B, 40B, 180B, 2 (not RW)",
    "falcon_h1": "Falcon-H1",
    "falcon_mamba": "Falcon Mamba",
    "flex_olmo": "FlexOlmo",
    "gemma": "Gemma 1, CodeGemma",
    "gemma2": "Gemma 2",
    "gemma3": "Gemma 3 4B, 12B, 27B",
    "gemma3_text": "Gemma 3 270M, 1B",
    "gemma3n_text": "Gemma 3n (text)",
    "gemma4": "Gemma 4",
    "gemma4_text": "Gemma 4 (text)",
    "glm": "GLM-4 9B, GLM-Edge",
    "glm4": "GLM-4-0414, GLM-Z1",
    "glm4_moe": "GLM-4.5, 4.6, 4.7",
    "glm4_moe_lite": "GLM-4.7-Flash",
    "gpt2": "GPT-2, DistilGPT2, GPT-SW3",
    "gpt_bigcode": "StarCoder, SantaCoder",
    "gpt_neo": "GPT-Neo, TinyStories",
    "gpt_neox": "Pythia, GPT-NeoX 20B, Dolly 2",
    "gpt_oss": "gpt-oss 20b, 120b",
    "gptj": "GPT-J 6B",
    "granite": "Granite 3",
    "granitemoe": "Granite 3 MoE",
    "granitemoehybrid": "Granite 4",
    "granitemoeshared": "Granite MoE with shared experts",
    "helium": "Helium 1",
    "hunyuan_v1_dense": "Hunyuan 0.5B to 7B",
    "hunyuan_v1_moe": "Hunyuan-A13B",
    "hy_v3": "Hunyuan 3",
    "internlm3": "InternLM 3",
    "iquestcoder": "IQuest-Coder",
    "jais2": "Jais 2",
    "jamba": "Jamba",
    "jetmoe": "JetMoE",
    "kimi_linear": "Kimi Linear",
    "lfm2": "LFM2",
    "lfm2_moe": "LFM2-8B-A1B",
    "llama": "Llama 1 to 3.3, SmolLM 1 and 2, TinyLlama, Yi, DeepSeek LLM",
    "llama4": "Llama 4 Scout, Maverick",
    "llama4_text": "Llama 4 (text)",
    "longcat_flash": "LongCat-Flash",
    "mamba": "Mamba",
    "mamba2": "Mamba-2, Codestral Mamba",
    "mellum": "Mellum",
    "mimo_v2_flash": "MiMo-V2-Flash",
    "minicpm3": "MiniCPM3",
    "mistral4": "Mistral 4 (text)",
    "minimax": "MiniMax-Text-01, M1",
    "minimax_m2": "MiniMax-M2",
    "ministral": "Ministral 8B",
    "ministral3": "Ministral 3",
    "mistral": "Mistral 7B, Nemo, Small, Zephyr",
    "mistral3": "Mistral Small 3.1 and later",
    "mixtral": "Mixtral 8x7B, 8x22B",
    "modernbert-decoder": "Ettin decoders",
    "mpt": "MPT 7B, 30B",
    "nanochat": "nanochat",
    "nemotron": "Minitron, Nemotron-4",
    "nemotron_h": "Nemotron-H, Nemotron Nano 2 and 3",
    "olmo": "OLMo 1",
    "olmo2": "OLMo 2",
    "olmo3": "OLMo 3",
    "olmo_hybrid": "OLMo Hybrid",
    "olmoe": "OLMoE",
    "openai-gpt": "GPT-1",
    "opt": "OPT (not 350M)",
    "persimmon": "Persimmon",
    "phi": "Phi-1, 1.5, 2",
    "phi3": "Phi-3, 3.5 mini, Phi-4, 4 mini",
    "phimoe": "Phi-3.5-MoE",
    "qwen2": "Qwen 2, 2.5, QwQ, DeepSeek-R1 distills",
    "qwen2_moe": "Qwen 1.5-MoE, Qwen2-57B-A14B",
    "qwen3": "Qwen 3",
    "qwen3_5": "Qwen 3.5, 3.6",
    "qwen3_5_moe_text": "Qwen 3.5 MoE (text)",
    "qwen3_5_text": "Qwen 3.5 (text)",
    "qwen3_moe": "Qwen 3 30B-A3B, 235B-A22B",
    "qwen3_next": "Qwen3-Next, Qwen3-Coder-Next",
    "recurrent_gemma": "RecurrentGemma",
    "rwkv": "RWKV-4",
    "sarvam_mla": "Sarvam 105B",
    "sarvam_moe": "Sarvam 30B",
    "seed_oss": "Seed-OSS",
    "smollm3": "SmolLM3",
    "solar_open": "Solar Open",
    "stablelm": "StableLM 3B, 2 1.6B, Stable Code 3B",
    "starcoder2": "StarCoder2",
    "vaultgemma": "VaultGemma",
    "xglm": "XGLM",
    "youtu": "Youtu-LLM",
    "zamba": "Zamba",
    "zamba2": "Zamba2",
}


def open_cases() -> dict[str, str]:
    """The first case of each model type that opens, by model type, in the order of the alphabet."""
    first: dict[str, str] = {}
    for name in OPEN:
        first.setdefault(CASES[name].model_type, name)
    return dict(sorted(first.items()))


def families_table() -> str:
    """A row of each model type that opens, and the model types that do not, as Markdown."""
    opens = open_cases()
    gguf = {model_type for entry in ARCHITECTURES for model_type in entry.model_types}
    rows = ["| `model_type` | released as | decode step | GGUF |", "|---|---|---|---|"]
    for model_type, name in opens.items():
        part = CASES[name].language_part
        step = f"as `{part}`, without the other parts" if part else _decode_step(name)
        rows.append(f"| `{model_type}` | {MODELS.get(model_type, '')} | {step} | {'yes' if model_type in gguf else ''} |")
    closed = sorted({case.model_type for case in CASES.values()} - opens.keys())
    parts = ", ".join(f"`{name}`" for name in sorted(LANGUAGE_PARTS.keys() - opens.keys()))
    closed_types = ", ".join(f"`{name}`" for name in closed)
    sentence = f"These {len(opens)} open, and so do the language parts of {parts}. These do not: {closed_types}."
    rows += ["", sentence, ""]
    return "\n".join(rows)


def _decode_step(name: str) -> str:
    hf_config = json.loads(configuration(name).to_json_string())
    reason = missing_part(family_of(hf_config).read_config(hf_config))
    return f"PyTorch: {reason}" if reason else "native"
