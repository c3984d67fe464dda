"""Model families: one table each, translating a Hugging Face model type to `TransformerConfig` and our weights, and back.

family          `Family`, the table: fields of config.json, names and layouts of weights
layouts         how rows of our tensors lie in one of a checkpoint: stacked, by head, rotary pairs
common          entries that several families share: sizes, rotary positions, sliding windows, Llama's weight names
entries         entries that families like Llama share
experts         entries that families with experts share
recurrent       entries that families with recurrent layers share
common_uneven   entries of families whose layers differ in size or share keys, or that have embeddings per layer
lmcraft         our own format, for configurations that no Hugging Face family can express

llama (and Mistral), llama_variants (Seed-OSS, ERNIE 4.5, EXAONE 3, Helium, AFM, CWM, InternLM 3, IQuest-Coder), smollm3,
granite, cohere, glm, exaone4, hunyuan, ministral, olmo (1 to 3), bitnet (and Apertus, nanochat), phi, phi3, stablelm,
starcoder2, gemma (1, 2, VaultGemma), gemma3, gemma4
gpt2, gpt_bigcode, gpt_neo, gptj, gpt_neox, opt, bloom, falcon, mpt
qwen (2, 3, and their mixtures of experts), gpt_oss, mixtral (and MiniMax-M2), llama4, glm4_moe (and dots.llm1, Solar Open),
olmoe (and FlexOlmo), phimoe, granitemoe (with and without Mamba-2), ernie4_5_moe, exaone_moe, hunyuan_moe (and HY 3), afmoe,
mellum, aria, dbrx
deepseek        latent attention: DeepSeek 2 and 3, GLM 4.7 Flash, Sarvam, Youtu
qwen_delta (Qwen3-Next, Qwen3.5), lfm2, falcon_h1 (and Bamba), mamba, mamba2 (and Nemotron-H)
encoders        BERT, RoBERTa and its relatives, ModernBERT

A configuration is saved as the family that it names, or as the first in `BY_PREFERENCE` that can express it; the
others are in `BY_NAME`.
"""

from collections.abc import Mapping
from typing import Any

from lmcraft.errors import UserError
from lmcraft.model.config import TransformerConfig
from lmcraft.model.families.afmoe import AFMOE
from lmcraft.model.families.aria import ARIA_TEXT
from lmcraft.model.families.bitnet import APERTUS, BITNET, NANOCHAT
from lmcraft.model.families.bloom import BLOOM
from lmcraft.model.families.cohere import COHERE, COHERE2
from lmcraft.model.families.dbrx import DBRX
from lmcraft.model.families.deepseek import DEEPSEEK_V2, DEEPSEEK_V3, GLM4_MOE_LITE, MINICPM3, MISTRAL4, SARVAM_MLA, YOUTU
from lmcraft.model.families.encoders import BERT, CAMEMBERT, MODERNBERT, ROBERTA, XLM_ROBERTA
from lmcraft.model.families.ernie4_5_moe import ERNIE4_5_MOE
from lmcraft.model.families.exaone4 import EXAONE4
from lmcraft.model.families.exaone_moe import EXAONE_MOE
from lmcraft.model.families.falcon import FALCON
from lmcraft.model.families.falcon_h1 import BAMBA, FALCON_H1
from lmcraft.model.families.family import Family
from lmcraft.model.families.gemma import GEMMA, GEMMA2, VAULTGEMMA
from lmcraft.model.families.gemma3 import GEMMA3
from lmcraft.model.families.gemma4 import GEMMA4_TEXT
from lmcraft.model.families.glm import GLM, GLM4
from lmcraft.model.families.glm4_moe import DOTS1, GLM4_MOE, SOLAR_OPEN
from lmcraft.model.families.gpt2 import GPT2
from lmcraft.model.families.gpt_bigcode import GPT_BIGCODE
from lmcraft.model.families.gpt_neo import GPT_NEO
from lmcraft.model.families.gpt_neox import GPT_NEOX
from lmcraft.model.families.gpt_oss import GPT_OSS
from lmcraft.model.families.gptj import CODEGEN, GPTJ
from lmcraft.model.families.granite import GRANITE, GRANITE_SWA, HYPERCLOVAX
from lmcraft.model.families.granitemoe import GRANITEMOE, GRANITEMOE_SWA, GRANITEMOEHYBRID, GRANITEMOESHARED
from lmcraft.model.families.hunyuan import HUNYUAN_V1_DENSE
from lmcraft.model.families.hunyuan_moe import HUNYUAN_V1_MOE, HY_V3
from lmcraft.model.families.lfm2 import LFM2, LFM2_MOE
from lmcraft.model.families.llama import LLAMA, MISTRAL
from lmcraft.model.families.llama4 import LLAMA4_TEXT
from lmcraft.model.families.llama_variants import ARCEE, CWM, ERNIE4_5, EXAONE, HELIUM, INTERNLM3, IQUESTCODER, SEED_OSS
from lmcraft.model.families.lmcraft import LMCRAFT
from lmcraft.model.families.mamba import FALCON_MAMBA, JAMBA, MAMBA
from lmcraft.model.families.mamba2 import MAMBA2, NEMOTRON_H
from lmcraft.model.families.mellum import MELLUM
from lmcraft.model.families.ministral import MINISTRAL, MINISTRAL3
from lmcraft.model.families.mixtral import MINIMAX_M2, MIXTRAL
from lmcraft.model.families.mpt import MPT
from lmcraft.model.families.olmo import OLMO, OLMO2, OLMO3
from lmcraft.model.families.olmoe import FLEX_OLMO, OLMOE
from lmcraft.model.families.opt import OPT
from lmcraft.model.families.phi import PERSIMMON, PHI
from lmcraft.model.families.phi3 import PHI3
from lmcraft.model.families.phimoe import PHIMOE
from lmcraft.model.families.qwen import QWEN2, QWEN2_MOE, QWEN3, QWEN3_MOE
from lmcraft.model.families.qwen_delta import QWEN3_5, QWEN3_5_MOE, QWEN3_NEXT
from lmcraft.model.families.smollm3 import SMOLLM3
from lmcraft.model.families.stablelm import JAIS2, NEMOTRON, STABLELM
from lmcraft.model.families.starcoder2 import STARCODER2

BY_PREFERENCE = (QWEN3, LLAMA, MISTRAL, QWEN2, GPT2, GPT_NEOX, GEMMA3, PHI3, QWEN3_MOE, OLMO2, LMCRAFT)
# These are saved under the name that they came with; what names no family is none of these.
BY_NAME = (
    AFMOE,
    APERTUS,
    ARCEE,
    ARIA_TEXT,
    BAMBA,
    BERT,
    BITNET,
    BLOOM,
    CAMEMBERT,
    CODEGEN,
    COHERE,
    COHERE2,
    CWM,
    DBRX,
    DEEPSEEK_V2,
    DEEPSEEK_V3,
    DOTS1,
    ERNIE4_5,
    ERNIE4_5_MOE,
    EXAONE,
    EXAONE4,
    EXAONE_MOE,
    FALCON,
    FALCON_H1,
    FALCON_MAMBA,
    FLEX_OLMO,
    GEMMA,
    GEMMA2,
    GEMMA4_TEXT,
    GLM,
    GLM4,
    GLM4_MOE,
    GLM4_MOE_LITE,
    GPTJ,
    GPT_BIGCODE,
    GPT_NEO,
    GPT_OSS,
    GRANITE,
    GRANITEMOE,
    GRANITEMOEHYBRID,
    GRANITEMOESHARED,
    GRANITEMOE_SWA,
    GRANITE_SWA,
    HELIUM,
    HUNYUAN_V1_DENSE,
    HUNYUAN_V1_MOE,
    HYPERCLOVAX,
    HY_V3,
    INTERNLM3,
    IQUESTCODER,
    JAIS2,
    JAMBA,
    LFM2,
    LFM2_MOE,
    LLAMA4_TEXT,
    MAMBA,
    MAMBA2,
    MELLUM,
    MINICPM3,
    MINIMAX_M2,
    MINISTRAL,
    MINISTRAL3,
    MISTRAL4,
    MIXTRAL,
    MODERNBERT,
    MPT,
    NANOCHAT,
    NEMOTRON,
    NEMOTRON_H,
    OLMO,
    OLMO3,
    OLMOE,
    OPT,
    PERSIMMON,
    PHI,
    PHIMOE,
    QWEN2_MOE,
    QWEN3_5,
    QWEN3_5_MOE,
    QWEN3_NEXT,
    ROBERTA,
    SARVAM_MLA,
    SEED_OSS,
    SMOLLM3,
    SOLAR_OPEN,
    STABLELM,
    STARCODER2,
    VAULTGEMMA,
    XLM_ROBERTA,
    YOUTU,
)
FAMILIES: dict[str, Family] = {family.model_type: family for family in (*BY_PREFERENCE, *BY_NAME)}


def family_of(hf_config: Mapping[str, Any]) -> Family:
    """The family that a config.json names.

    Raises:
        UserError: it names none, or one that is not supported.
    """
    model_type = hf_config.get("model_type")
    if model_type is None:
        classes = hf_config.get("architectures")
        named = [key for key, family in FAMILIES.items() if isinstance(classes, list) and family.architecture in classes]
        remedy = f'add "{named[0]}", as its architectures say' if named else "get the complete file"
        raise UserError(f"config.json: model_type is missing, so the kind of model is unknown: {remedy}")
    if model_type not in tuple(FAMILIES):  # it may be of any type
        raise UserError(
            f"config.json: model_type={str(model_type)[:40]!r} is not supported; docs/families.md lists those "
            "that are, and docs/add-a-family.md shows how to add one"
        )
    return FAMILIES[model_type]


def family_for(config: TransformerConfig) -> Family:
    """The family to save a configuration as: the one that it names if it can be expressed there, else the first that can."""
    named = FAMILIES.get(config.family)
    return next(
        family for family in (named, *BY_PREFERENCE) if family is not None and not family.inexpressible_settings(config)
    )
