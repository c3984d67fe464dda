"""The whole craft of a language model in one place. Names are imported when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmcraft.commands.chat import ChatConfig as ChatConfig
    from lmcraft.commands.chat import chat as chat
    from lmcraft.commands.finetune import finetune as finetune
    from lmcraft.commands.generate import GenerateConfig as GenerateConfig
    from lmcraft.commands.generate import generate as generate
    from lmcraft.commands.prepare import PrepareConfig as PrepareConfig
    from lmcraft.commands.prepare import prepare as prepare
    from lmcraft.commands.pretrain import PretrainConfig as PretrainConfig
    from lmcraft.commands.pretrain import pretrain as pretrain
    from lmcraft.commands.quickstart import QuickstartConfig as QuickstartConfig
    from lmcraft.commands.quickstart import quickstart as quickstart
    from lmcraft.commands.scaling import ScalingConfig as ScalingConfig
    from lmcraft.commands.scaling import scaling as scaling
    from lmcraft.commands.tokenizer import TokenizerTrainConfig as TokenizerTrainConfig
    from lmcraft.commands.tokenizer import train_tokenizer as train_tokenizer
    from lmcraft.errors import LmcraftError as LmcraftError
    from lmcraft.errors import UserError as UserError
    from lmcraft.finetuning.classifier import Classifier as Classifier
    from lmcraft.finetuning.config import FinetuneConfig as FinetuneConfig
    from lmcraft.language_model import LanguageModel as LanguageModel
    from lmcraft.language_model import load as load
    from lmcraft.model.config import TransformerConfig as TransformerConfig
    from lmcraft.model.transformer import Transformer as Transformer
    from lmcraft.tokenizer.tokenizer import Tokenizer as Tokenizer

PUBLIC = {
    "ChatConfig": "commands.chat",
    "Classifier": "finetuning.classifier",
    "FinetuneConfig": "finetuning.config",
    "GenerateConfig": "commands.generate",
    "LanguageModel": "language_model",
    "LmcraftError": "errors",
    "PrepareConfig": "commands.prepare",
    "PretrainConfig": "commands.pretrain",
    "QuickstartConfig": "commands.quickstart",
    "ScalingConfig": "commands.scaling",
    "Tokenizer": "tokenizer.tokenizer",
    "TokenizerTrainConfig": "commands.tokenizer",
    "Transformer": "model.transformer",
    "TransformerConfig": "model.config",
    "UserError": "errors",
    "chat": "commands.chat",
    "finetune": "commands.finetune",
    "generate": "commands.generate",
    "load": "language_model",
    "prepare": "commands.prepare",
    "pretrain": "commands.pretrain",
    "quickstart": "commands.quickstart",
    "scaling": "commands.scaling",
    "train_tokenizer": "commands.tokenizer",
}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'lmcraft' has no attribute {name!r}")
    return getattr(import_module(f"lmcraft.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(PUBLIC)
