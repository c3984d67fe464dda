"""Table of llama.cpp's architectures that are supported: their Hugging Face model types and the names of their settings.

The table is used in both directions. It follows llama.cpp's converter and loader.

common        keys that most have
llama         Llama, Mistral, Qwen 2 and 3, Phi-3, and others of their kind
gemma         the Gemmas
gpt           GPT-2, GPT-NeoX, and others with LayerNorm and ungated feed-forward parts
experts       mixtures of experts
deepseek      multi-head latent attention and sigmoid routing: DeepSeek V2 and V3, GLM-4.5
delta         gated delta rules: Qwen3-Next, Qwen3.5
recurrent     Mamba-2, short convolutions, and hybrids with attention
"""

from lmcraft.errors import UserError
from lmcraft.gguf.architecture import Architecture, Config
from lmcraft.gguf.architectures import deepseek, delta, experts, gemma, gpt, llama, recurrent
from lmcraft.gguf.container import GGUFFile

ARCHITECTURES: tuple[Architecture, ...] = (
    *(*llama.ARCHITECTURES, *gemma.ARCHITECTURES, *gpt.ARCHITECTURES, *experts.ARCHITECTURES),
    *(*deepseek.ARCHITECTURES, *delta.ARCHITECTURES, *recurrent.ARCHITECTURES),
)


def architecture_of(file: GGUFFile) -> Architecture:
    """The architecture of a file.

    Raises:
        UserError: the architecture is missing or not supported, or the file is not a complete model.
    """
    if (kind := file.metadata.text("general.type") or "model") != "model":
        raise UserError(f"'{file.path}' is of type {kind!r}, not a model; use the file of the model itself")
    if (parts := file.metadata.count("split.count") or 1) > 1:
        raise UserError(
            f"'{file.path}' is one of {parts} parts of a model; join them with `llama-gguf-split --merge FIRST_PART WHOLE`"
        )
    name = file.metadata.text("general.architecture")
    for architecture in ARCHITECTURES:
        if architecture.name == name and architecture.reads(file):
            return architecture
    supported = ", ".join(dict.fromkeys(architecture.name for architecture in ARCHITECTURES))
    raise UserError(f"'{file.path}' has the architecture {name!r}, which is not supported; supported: {supported}")


def architecture_for(hf_config: Config) -> Architecture:
    """The architecture to write a config.json as.

    Raises:
        UserError: GGUF has no architecture for its model type.
    """
    model_type = hf_config.get("model_type")
    candidates = (entry for entry in ARCHITECTURES if model_type in entry.model_types)
    architecture = next((entry for entry in candidates if entry.writes(hf_config)), None)
    if architecture is None:
        supported = ", ".join(dict.fromkeys(name for entry in ARCHITECTURES for name in entry.model_types))
        raise UserError(
            f"model_type={model_type!r} cannot be exported to GGUF; supported: {supported}. Choose a configuration that "
            "one of these can express"
        )
    return architecture
