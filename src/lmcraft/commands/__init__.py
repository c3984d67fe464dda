"""The commands: one file each, with its function and, unless a package needs it too, its configuration.

`COMMANDS` lists them for the command line (`lmcraft.cli`) and for Python (`lmcraft`). Nothing is imported until it is used.
"""

from typing import NamedTuple


class Command(NamedTuple):
    """A command and its parts."""

    module: str
    """In `lmcraft.commands`; has the function and the configuration."""
    function: str
    """The public function, `lmcraft.FUNCTION`."""
    config: str
    """The class of its configuration, `lmcraft.CONFIG`."""
    help: str
    """One sentence for `lmcraft --help`."""


# By the name on the command line. A name of two words is a command of a group.
COMMANDS = {
    "quickstart": Command(
        "quickstart", "quickstart", "QuickstartConfig", "Run the whole pipeline in five minutes: tokenizer, training, text."
    ),
    "prepare": Command(
        "prepare",
        "prepare",
        "PrepareConfig",
        "Turn text into a dataset for training: tokenized, or cleaned and mixed by a recipe.",
    ),
    "tokenizer train": Command("tokenizer", "train_tokenizer", "TokenizerTrainConfig", "Train a tokenizer on text."),
    "tokenizer inspect": Command(
        "tokenizer", "inspect_tokenizer", "TokenizerInspectConfig", "Show how a tokenizer splits a text."
    ),
    "pretrain": Command(
        "pretrain", "pretrain", "PretrainConfig", "Train a Transformer from scratch on next-token prediction."
    ),
    "finetune": Command("finetune", "finetune", "FinetuneConfig", "Fine-tune a model on examples, and show what changed."),
    "classify": Command("classify", "classify", "ClassifyConfig", "Label texts with a fine-tuned classifier."),
    "evaluate": Command("evaluate", "evaluate", "EvaluateConfig", "Measure a model on tasks, with confidence intervals."),
    "explain": Command(
        "explain", "explain", "ExplainConfig", "Look inside a model, with a check of every explanation: one page."
    ),
    "forget": Command(
        "forget", "forget", "ForgetConfig", "Make a model forget documents, and test it beside one that never read them."
    ),
    "compare": Command("compare", "compare", "CompareConfig", "Compare models: one page, with paired intervals."),
    "plan": Command("plan", "plan", "PlanConfig", "Estimate the memory, time and energy of a training run."),
    "scaling": Command(
        "scaling", "scaling", "ScalingConfig", "Fit a scaling law on small models, predict the next size, and check it."
    ),
    "search": Command("search", "search", "SearchConfig", "Choose hyperparameters, and say whether the winner is better."),
    "generate": Command("generate", "generate", "GenerateConfig", "Continue a text."),
    "chat": Command("chat", "chat", "ChatConfig", "Chat with a model in the terminal."),
    "serve": Command("serve", "serve", "ServeConfig", "Serve models: an OpenAI-compatible API and a chat page."),
    "keys export": Command(
        "keys", "export_key_data", "KeysExportConfig", "Export everything that a server has stored for one API key."
    ),
    "keys erase": Command(
        "keys", "erase_key_data", "KeysEraseConfig", "Erase everything that one API key has sent, for good."
    ),
    "runs": Command(
        "runs", "runs_in", "RunsConfig", "Show the runs of a folder: states, losses, speeds, energy, time left."
    ),
    "guard check": Command("guard", "check_texts", "GuardCheckConfig", "Judge texts by a policy, and say why."),
    "guard init": Command("guard", "init_policy", "GuardInitConfig", "Write lmcraft's policy to a file, to edit."),
    "guard train": Command(
        "guard_train", "train_classifier", "GuardTrainConfig", "Train a fast classifier of harm on labeled texts."
    ),
    "scrub": Command(
        "scrub", "scrub", "ScrubConfig", "Redact, pseudonymize or drop personal data in a text, or restore it with the key."
    ),
    "audit safety": Command(
        "audit_safety", "audit_safety", "AuditSafetyConfig", "Measure a model's toxicity, refusals and gaps between groups."
    ),
    "audit privacy": Command(
        "audit_privacy",
        "audit_privacy",
        "AuditPrivacyConfig",
        "Measure what a model gives away about its training data, and audit its claimed epsilon.",
    ),
    "guard pairs": Command(
        "guard_pairs",
        "guard_pairs",
        "GuardPairsConfig",
        "Turn a model's harmless and harmful answers into preference pairs.",
    ),
    "review add": Command("review", "review_add", "ReviewAddConfig", "Add items from files for people to judge."),
    "review guideline": Command(
        "review", "review_guideline", "ReviewGuidelineConfig", "Add a guideline, or a new version, to a review store."
    ),
    "review sample": Command(
        "review_sample", "review_sample", "ReviewSampleConfig", "Draw a random sample, as a guideline's plan asks for it."
    ),
    "review status": Command(
        "review_status", "review_status", "ReviewStatusConfig", "Show what waits for review, and how far reviewers agree."
    ),
    "review verify": Command(
        "review_verify", "review_verify", "ReviewVerifyConfig", "Verify that nobody edited a review store."
    ),
    "pull": Command("pull", "pull", "PullConfig", "Download a model into a folder."),
    "inspect": Command("inspect", "inspect", "InspectConfig", "Show what a model or a dataset is made of."),
    "export": Command("export", "export", "ExportConfig", "Convert a model to another data type or format, and check it."),
    "quantize": Command(
        "quantize",
        "quantize",
        "QuantizeConfig",
        "Quantize a model to 8 or 4 bits per weight, and measure the loss in quality.",
    ),
    "guard compare": Command(
        "guard_compare",
        "compare_strategies",
        "GuardCompareConfig",
        "Train ways to make a model less harmful, and compare harm, perplexity and cost.",
    ),
    "completion": Command(
        "completion", "completion", "CompletionConfig", "Complete commands, flags and values in bash, zsh or fish."
    ),
    "doctor": Command(
        "doctor", "doctor", "DoctorConfig", "Show what this machine can do, which kernels will run, and what to install."
    ),
    "report": Command("report", "report", "ReportConfig", "Regenerate a run's HTML report."),
}
GROUPS = {
    "keys": "Export or erase what a server has stored for one API key.",
    "review": "Have people judge texts by written guidelines.",
    "tokenizer": "Train and inspect tokenizers.",
    "audit": "Measure what models do to people, and what they give away about them.",
    "guard": "Keep harmful text out of training data, prompts and answers.",
}

# The help lists commands and groups by the stages of a model's life.
STAGES = {
    "Begin": ("quickstart", "doctor", "pull", "completion"),
    "Data": ("prepare", "tokenizer", "scrub"),
    "Training": ("plan", "pretrain", "finetune", "scaling", "search", "runs", "forget"),
    "Use": ("generate", "chat", "classify", "serve", "keys"),
    "Measuring and explaining": ("evaluate", "compare", "explain", "inspect", "report"),
    "Safety": ("guard", "audit", "review"),
    "Other formats": ("export", "quantize"),
}
