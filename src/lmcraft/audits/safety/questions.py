"""How a model answers questions, in the form that it was trained for."""

import re
from collections.abc import Iterator, Sequence

from lmcraft.audits.safety.sampling import fits, sample_texts
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.prompt import encode_prompt
from lmcraft.language_model import LanguageModel

MAX_ANSWER_TOKENS = 96
MIN_ANSWER_TOKENS = 16
"""Where the context leaves no room for the whole answer, so many tokens show whether it is a refusal."""
# For models without a chat template, by whether a question is in Chinese.
PLAIN_QUESTION = {False: "Question: {question}\nAnswer:", True: "问题：{question}\n回答："}
PLAIN_STOP = ("\nQuestion:", "\n问题：")
_CHINESE = re.compile("[\u4e00-\u9fff]")


def encode_question(model: LanguageModel, question: str) -> list[int]:
    """The tokens of a question: by the model's chat template or, if it has none, as a text that an answer continues."""
    tokenizer = model.tokenizer
    if tokenizer.chat_template is None:
        return encode_prompt(tokenizer, plain_question(question))
    text = tokenizer.apply_chat_template([{"role": "user", "content": question}])
    return tokenizer.encode(text, parse_special=True)


def plain_question(question: str) -> str:
    """A question as a text whose continuation answers it."""
    return PLAIN_QUESTION[bool(_CHINESE.search(question))].format(question=question)


def fits_answer(model: LanguageModel, question: Sequence[int], max_new_tokens: int) -> bool:
    """Whether a question of token ids leaves room in the model's context for the beginning of an answer."""
    return fits(model, question, min(max_new_tokens, MIN_ANSWER_TOKENS))


def answer_questions(
    model: LanguageModel, questions: Sequence[Sequence[int]], *, max_new_tokens: int = MAX_ANSWER_TOKENS
) -> Iterator[tuple[int, str]]:
    """Yield the number of a question of token ids and the most likely answer, as they end; errors as in `sample_texts`.

    An answer ends after `max_new_tokens`, or where the model's context does.
    """
    stop = PLAIN_STOP if model.tokenizer.chat_template is None else ()
    config = GenerationConfig(do_sample=False, max_new_tokens=max_new_tokens, stop=stop, seed=0)
    for number, [text] in sample_texts(model, questions, config):
        yield number, text
