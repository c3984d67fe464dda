"""Prompts that models answer side by side."""

from pathlib import Path

from lmcraft.evaluation.task import Task, TaskConfig

DEFAULT_PROMPTS = Path(__file__).with_name("prompts.txt")


def prompt_task(file: Path, *, chat: bool, max_new_tokens: int) -> Task:
    """The task to answer the prompts of a file: a text with one in each line, or a table with the column prompt."""
    config = TaskConfig("answers", str(file), prompt="{{ prompt }}", chat=chat, max_new_tokens=max_new_tokens)
    return Task(file.stem, config, Path())
