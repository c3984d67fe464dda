"""The kinds of tasks, one file each; `METHODS` lists them.

method           the interface, and what the kinds share
multiple_choice  which of several answers the model finds most likely
generation       whether the answer that the model writes is right
classification   which label a classifier gives a text
code             whether the function that the model writes passes tests
answers          what the model answers to prompts, without judgment
translation      how near the translation that the model writes is to those of people
perplexity       how well the model predicts texts
checks           tests, such as those made from reviewers' verdicts: what an answer must and must not contain
"""

from lmcraft.evaluation.methods.answers import Answers
from lmcraft.evaluation.methods.checks import Checks
from lmcraft.evaluation.methods.classification import Classification
from lmcraft.evaluation.methods.code import Code
from lmcraft.evaluation.methods.generation import Generation
from lmcraft.evaluation.methods.method import Method
from lmcraft.evaluation.methods.multiple_choice import MultipleChoice
from lmcraft.evaluation.methods.perplexity import Perplexity
from lmcraft.evaluation.methods.translation import Translation

METHODS: dict[str, type[Method]] = {
    "multiple_choice": MultipleChoice,
    "generation": Generation,
    "code": Code,
    "classification": Classification,
    "answers": Answers,
    "translation": Translation,
    "perplexity": Perplexity,
    "checks": Checks,
}

__all__ = ["METHODS", "Method"]
