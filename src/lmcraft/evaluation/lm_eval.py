"""A bridge to EleutherAI's evaluation harness, which then runs its tasks on lmcraft's models.

    python -m lmcraft.evaluation.lm_eval --model lmcraft --model_args pretrained=models/mine,dtype=float32 --tasks piqa

The harness finds models in a table of its own, so this module adds "lmcraft" to it before it starts the harness. In Python,
call `register`, and then `lm_eval.simple_evaluate(model="lmcraft", ...)`.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.likelihood import ScoredText
from lmcraft.extras import import_optional
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer.tokenizer import Tokenizer

NAME = "lmcraft"
REQUESTS_PER_BATCH = 256
MAX_NEW_TOKENS = 256  # unless a task says otherwise, as in the harness
DTYPES = ("float32", "bfloat16", "float16")


def main() -> None:
    """Add "lmcraft" to the harness's models, and run its command line."""
    register()
    import_optional("lm_eval.__main__", "lm-eval", "this bridge").cli_evaluate()


def register() -> None:
    """Add "lmcraft" to the harness's models; `pretrained` is the address of a model, and `dtype` the type of its weights.

    Raises:
        UserError: the harness is not installed.
    """
    harness = import_optional("lm_eval.api.model", "lm-eval", "this bridge")
    utils = import_optional("lm_eval.utils", "lm-eval", "this bridge")
    registry = import_optional("lm_eval.api.registry", "lm-eval", "this bridge")
    import_optional("lm_eval.models", "lm-eval", "this bridge")  # adds the harness's own
    model = type("LmcraftModel", (HarnessModel, harness.TemplateLM), {"utils": utils})
    registry.register_model(NAME)(model)


class HarnessModel:
    """The answers to the harness's requests; `register` derives it from the harness's own base class."""

    backend = "causal"
    utils: Any  # the harness's module
    tokenizer_name = NAME

    def __init__(self, pretrained: str, dtype: str = "", weights: str | None = None, **_: Any) -> None:
        super().__init__()
        import torch

        chosen = getattr(torch, dtype) if dtype in DTYPES else None
        self.language_model = LanguageModel.load(pretrained, dtype=chosen, weights=weights)  # type: ignore[arg-type]
        self.evaluated = EvaluatedModel(self.language_model)
        self.max_length = self.evaluated.context_length

    @property
    def tokenizer(self) -> Tokenizer:
        return self.language_model.tokenizer

    @property
    def eot_token_id(self) -> int | None:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        return self.evaluated.start_ids[0]

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        begin = () if add_special_tokens is False else self.tokenizer.begin_ids
        ids = self.tokenizer.encode(string, parse_special=True)  # a chat template's tokens
        return ids if tuple(ids[: len(begin)]) == begin else [*begin, *ids]

    def _loglikelihood_tokens(self, requests: Sequence[Any], **_: Any) -> list[tuple[float, bool]]:
        texts = []
        for _texts, context_ids, answer_ids in requests:
            ids = (*context_ids, *answer_ids)[-self.max_length - 1 :]  # cut on the left, as the harness's own models do
            texts.append(ScoredText(ids, max(1, len(ids) - len(answer_ids))))
        results = []
        for start in range(0, len(texts), REQUESTS_PER_BATCH):
            likelihoods = self.evaluated.score(texts[start : start + REQUESTS_PER_BATCH])
            results += [(likelihood.total, likelihood.is_greedy) for likelihood in likelihoods]
        return results

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        totals = []
        for request in requests:
            windows = self.utils.get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            pairs = [(None, *self.utils.make_disjoint_window(window)) for window in windows]
            totals.append(sum(total for total, _ in self._loglikelihood_tokens(pairs)))
        return totals

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        answers = [""] * len(requests)
        order = sorted(range(len(requests)), key=lambda n: repr(requests[n].args[1]))
        for _, group in groupby(order, key=lambda n: repr(requests[n].args[1])):
            numbers = list(group)
            settings = dict(requests[numbers[0]].args[1])
            until = settings.pop("until", None) or []
            stop = [until] if isinstance(until, str) else list(until)
            length = int(settings.pop("max_gen_toks", None) or MAX_NEW_TOKENS)
            room = self.max_length - length
            prompts = [self.tok_encode(requests[n].args[0])[-room:] for n in numbers]
            sampling = {"do_sample": settings.get("do_sample") or False}
            sampling |= {
                key: settings[key] for key in ("temperature", "top_p", "top_k") if sampling["do_sample"] and key in settings
            }
            for index, text, _ in self.evaluated.generate(prompts, max_new_tokens=length, stop=stop, **sampling):
                answers[numbers[index]] = text
        return answers

    def apply_chat_template(self, chat_history: Sequence[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return self.tokenizer.apply_chat_template(
            chat_history, add_generation_prompt, continue_final_message=not add_generation_prompt
        )


if __name__ == "__main__":
    main()
