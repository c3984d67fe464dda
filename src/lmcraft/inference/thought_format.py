"""How families of models write their thoughts into the text of an answer: `<think>\\n...\\n</think>\\n\\nanswer`."""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class ThoughtFormat:
    """How a family of models writes its thoughts."""

    opening: str
    """The tag before the thoughts, with white space as the models write it."""
    closing: str
    """The tag after them."""
    is_implied: bool = False
    """Whether an answer begins with thoughts even without the tag."""

    @property
    def start_tag(self) -> str:
        return self.opening.strip()

    @property
    def end_tag(self) -> str:
        return self.closing.strip()

    def begin_answer(self, prompt: str, thoughts: str, answer: str) -> str:
        """The prompt with the beginning of an answer: its thoughts and, if there is any, the text after them."""
        opening = "" if prompt.rstrip().endswith(self.start_tag) else self.opening
        return prompt + opening + thoughts + (self.closing + answer if answer else "")


_THINK = ThoughtFormat("<think>\n", "\n</think>\n\n")
_IMPLIED_THINK = replace(_THINK, is_implied=True)
FORMATS = {
    "qwen3": _THINK,
    "mistral": ThoughtFormat("[THINK]", "[/THINK]"),
    "seed_oss": ThoughtFormat("<seed:think>", "</seed:think>"),
    "granite": ThoughtFormat("Here is my thought process:\n", "\n\nHere is my response:\n"),
    "deepseek_r1": _IMPLIED_THINK,
    "deepseek_v3": _THINK,
    "glm45": _THINK,
    "kimi_k2": _THINK,
    "minimax_m2": _IMPLIED_THINK,
    "olmo3": _IMPLIED_THINK,
    "step3": _IMPLIED_THINK,
}
"""The formats by the names of vLLM's reasoning parsers. A chat template has the first of them whose end tag it contains."""
ReasoningParser = Literal[
    "auto", "none", "qwen3", "mistral", "seed_oss", "granite", "deepseek_r1", "deepseek_v3", "glm45", "kimi_k2",
    "minimax_m2", "olmo3", "step3",
]  # fmt: skip
