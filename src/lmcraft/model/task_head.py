"""Models with another head than the one that writes text: classifiers and reward models, of lmcraft and of others."""

import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, read_json
from lmcraft.model import adapter

ARCHITECTURE = re.compile(r".*(For(Sequence|Token)Classification|ForQuestionAnswering|ForMultipleChoice|RewardModel)")
ADAPTER_TASKS = {
    "SEQ_CLS": "SequenceClassification",
    "TOKEN_CLS": "TokenClassification",
    "QUESTION_ANS": "QuestionAnswering",
}


def task_head_error(folder: Path) -> UserError | None:
    """The error for a model folder or adapter that labels or scores texts; None for one that writes texts.

    Raises:
        UserError: a file of the folder is damaged.
    """
    if ModelFolder(folder).labels.is_file():
        return UserError(f"'{folder}' is a classifier, which cannot write texts: use `lmcraft classify {folder} TEXT`")
    if adapter.is_adapter(folder):
        task = ADAPTER_TASKS.get(str(read_json(folder / adapter.CONFIG).get("task_type")))
        program, outputs = f"PEFT's AutoPeftModelFor{task}", _adapter_outputs(folder) if task else None
    elif (folder / "config.json").is_file():
        config = read_json(folder / "config.json")
        architectures, names = config.get("architectures"), config.get("id2label")
        listed = map(str, architectures) if isinstance(architectures, list) else ()
        task = next(filter(ARCHITECTURE.fullmatch, listed), None)
        program, outputs = f"transformers' {task}", len(names) if isinstance(names, dict) else config.get("num_labels")
    else:
        return None
    if task is None:
        return None
    if outputs == 1 or "Reward" in task:
        return UserError(f"'{folder}' is a reward model, which scores texts and cannot write any: open it with {program}")
    return UserError(
        f"'{folder}' is a classifier without lmcraft/labels.json, and cannot write texts: open it with {program}"
    )


def _adapter_outputs(folder: Path) -> int | None:
    """The number of outputs of an adapter's head; None if it has none."""
    try:
        with safe_open(folder / adapter.WEIGHTS, framework="pt") as weights:
            names = [name for name in weights.keys() if name.endswith(adapter.HEAD)]  # noqa: SIM118
            return weights.get_slice(names[0]).get_shape()[0] if names else None
    except (SafetensorError, OSError):  # which is explained when it is opened
        return None
