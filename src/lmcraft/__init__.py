"""Train, fine-tune, run and serve small language models. Names are imported when they are first used.

| package | contents |
|---|---|
| `cli`, `commands` | the command line: one file per command |
| `moderation`, `audits` | keeping harmful text out by a policy, and measuring what models do to people |
| `server` | the OpenAI-compatible server and its pages |
| `evaluation`, `statistics` | measuring models on tasks, and intervals of what is measured |
| `finetuning`, `pretraining` | training a model on examples, and from scratch |
| `conversion` | export, quantization and description of models |
| `reports` | HTML reports of runs |
| `language_model`, `inference` | loading a model and generating text |
| `training` | the training loop |
| `model`, `tokenizer`, `data` | the Transformer, tokenizers, datasets |
| `gguf`, `hub` | GGUF files, downloads |
| `statistics` | intervals and tests of measured numbers |
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lmcraft.commands import COMMANDS

if TYPE_CHECKING:
    from lmcraft.commands.audit_privacy import AuditPrivacyConfig as AuditPrivacyConfig
    from lmcraft.commands.audit_privacy import audit_privacy as audit_privacy
    from lmcraft.commands.audit_safety import AuditSafetyConfig as AuditSafetyConfig
    from lmcraft.commands.audit_safety import audit_safety as audit_safety
    from lmcraft.commands.chat import ChatConfig as ChatConfig
    from lmcraft.commands.chat import chat as chat
    from lmcraft.commands.classify import ClassifyConfig as ClassifyConfig
    from lmcraft.commands.classify import classify as classify
    from lmcraft.commands.compare import CompareConfig as CompareConfig
    from lmcraft.commands.compare import compare as compare
    from lmcraft.commands.completion import CompletionConfig as CompletionConfig
    from lmcraft.commands.completion import completion as completion
    from lmcraft.commands.doctor import DoctorConfig as DoctorConfig
    from lmcraft.commands.doctor import doctor as doctor
    from lmcraft.commands.evaluate import EvaluateConfig as EvaluateConfig
    from lmcraft.commands.evaluate import evaluate as evaluate
    from lmcraft.commands.explain import ExplainConfig as ExplainConfig
    from lmcraft.commands.explain import explain as explain
    from lmcraft.commands.export import export as export
    from lmcraft.commands.finetune import finetune as finetune
    from lmcraft.commands.forget import ForgetConfig as ForgetConfig
    from lmcraft.commands.forget import forget as forget
    from lmcraft.commands.generate import GenerateConfig as GenerateConfig
    from lmcraft.commands.generate import generate as generate
    from lmcraft.commands.guard import GuardCheckConfig as GuardCheckConfig
    from lmcraft.commands.guard import GuardInitConfig as GuardInitConfig
    from lmcraft.commands.guard import check_texts as check_texts
    from lmcraft.commands.guard import init_policy as init_policy
    from lmcraft.commands.guard_compare import GuardCompareConfig as GuardCompareConfig
    from lmcraft.commands.guard_compare import compare_strategies as compare_strategies
    from lmcraft.commands.guard_pairs import GuardPairsConfig as GuardPairsConfig
    from lmcraft.commands.guard_pairs import guard_pairs as guard_pairs
    from lmcraft.commands.guard_train import GuardTrainConfig as GuardTrainConfig
    from lmcraft.commands.guard_train import train_classifier as train_classifier
    from lmcraft.commands.inspect import InspectConfig as InspectConfig
    from lmcraft.commands.inspect import inspect as inspect
    from lmcraft.commands.keys import KeysEraseConfig as KeysEraseConfig
    from lmcraft.commands.keys import KeysExportConfig as KeysExportConfig
    from lmcraft.commands.keys import erase_key_data as erase_key_data
    from lmcraft.commands.keys import export_key_data as export_key_data
    from lmcraft.commands.plan import plan as plan
    from lmcraft.commands.prepare import PrepareConfig as PrepareConfig
    from lmcraft.commands.prepare import prepare as prepare
    from lmcraft.commands.pretrain import pretrain as pretrain
    from lmcraft.commands.pull import PullConfig as PullConfig
    from lmcraft.commands.pull import pull as pull
    from lmcraft.commands.quantize import quantize as quantize
    from lmcraft.commands.quickstart import QuickstartConfig as QuickstartConfig
    from lmcraft.commands.quickstart import quickstart as quickstart
    from lmcraft.commands.report import ReportConfig as ReportConfig
    from lmcraft.commands.report import report as report
    from lmcraft.commands.review import ReviewAddConfig as ReviewAddConfig
    from lmcraft.commands.review import ReviewGuidelineConfig as ReviewGuidelineConfig
    from lmcraft.commands.review import review_add as review_add
    from lmcraft.commands.review import review_guideline as review_guideline
    from lmcraft.commands.review_sample import ReviewSampleConfig as ReviewSampleConfig
    from lmcraft.commands.review_sample import review_sample as review_sample
    from lmcraft.commands.review_status import ReviewStatusConfig as ReviewStatusConfig
    from lmcraft.commands.review_status import review_status as review_status
    from lmcraft.commands.review_verify import ReviewVerifyConfig as ReviewVerifyConfig
    from lmcraft.commands.review_verify import review_verify as review_verify
    from lmcraft.commands.runs import RunsConfig as RunsConfig
    from lmcraft.commands.runs import runs_in as runs_in
    from lmcraft.commands.scaling import scaling as scaling
    from lmcraft.commands.scrub import ScrubConfig as ScrubConfig
    from lmcraft.commands.scrub import scrub as scrub
    from lmcraft.commands.search import open_search as open_search
    from lmcraft.commands.search import search as search
    from lmcraft.commands.serve import ServeConfig as ServeConfig
    from lmcraft.commands.serve import serve as serve
    from lmcraft.commands.tokenizer import TokenizerInspectConfig as TokenizerInspectConfig
    from lmcraft.commands.tokenizer import TokenizerTrainConfig as TokenizerTrainConfig
    from lmcraft.commands.tokenizer import inspect_tokenizer as inspect_tokenizer
    from lmcraft.commands.tokenizer import train_tokenizer as train_tokenizer
    from lmcraft.conversion.config import ExportConfig as ExportConfig
    from lmcraft.conversion.config import QuantizeConfig as QuantizeConfig
    from lmcraft.errors import LmcraftError as LmcraftError
    from lmcraft.errors import UserError as UserError
    from lmcraft.finetuning.config import FinetuneConfig as FinetuneConfig
    from lmcraft.finetuning.text_classifier import Classifier as Classifier
    from lmcraft.hyperparameters.config import SearchConfig as SearchConfig
    from lmcraft.inference.generation_config import GenerationConfig as GenerationConfig
    from lmcraft.language_model import LanguageModel as LanguageModel
    from lmcraft.language_model import load as load
    from lmcraft.model.config import TransformerConfig as TransformerConfig
    from lmcraft.model.transformer import Transformer as Transformer
    from lmcraft.pretraining.config import PlanConfig as PlanConfig
    from lmcraft.pretraining.config import PretrainConfig as PretrainConfig
    from lmcraft.pretraining.config import ScalingConfig as ScalingConfig
    from lmcraft.tokenizer.tokenizer import Tokenizer as Tokenizer

# The public names other than the commands and their configurations, and the modules that define them.
OTHER_NAMES = {
    "Classifier": "finetuning.text_classifier",
    "GenerationConfig": "inference.generation_config",
    "LanguageModel": "language_model",
    "LmcraftError": "errors",
    "Tokenizer": "tokenizer.tokenizer",
    "Transformer": "model.transformer",
    "TransformerConfig": "model.config",
    "UserError": "errors",
    "load": "language_model",
    "open_search": "commands.search",
}
PUBLIC = OTHER_NAMES | {
    name: f"commands.{command.module}" for command in COMMANDS.values() for name in (command.function, command.config)
}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'lmcraft' has no attribute {name!r}")
    return getattr(import_module(f"lmcraft.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(PUBLIC)
