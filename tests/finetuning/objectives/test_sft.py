"""SFT: cross-entropy of the answers, and the KL penalty."""

from pathlib import Path
from typing import Any

import torch

from lmcraft.finetuning.encoding import ExampleEncoder
from lmcraft.finetuning.examples import Conversation
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.objectives.sft import SupervisedFinetuning
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.model.transformer import Transformer
from tests.finetuning.chat import chat_tokenizer
from tests.finetuning.objectives.conformance import CHATS, ObjectiveConformance, answer_log_probs, encode_answer


class TestSFT(ObjectiveConformance):
    name = "sft"
    rows = [{"messages": messages} for messages in CHATS]  # noqa: RUF012

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        examples = run.data.examples[: run.data.num_examples]
        return -sum(float(answer_log_probs(model, [*example.messages]).sum()) for example in examples)


class TestSFTWithPenalty(TestSFT):
    def settings(self, folder: Path) -> dict[str, Any]:
        return {"kl": 0.5}

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        cross_entropy = super().expected_loss(model, run, start)
        divergence = 0.0
        for example in run.data.examples[: run.data.num_examples]:
            ids, begin = encode_answer([*example.messages])
            log_p, log_q = (m(ids[None])[0, begin - 1 : -1].double().log_softmax(-1) for m in (model, start))
            divergence += float((log_q.exp() * (log_q - log_p)).sum())
        assert divergence > 0.01 * cross_entropy
        return cross_entropy + 0.5 * divergence


def test_the_answers_of_all_turns_are_trained() -> None:
    example = Conversation((*CHATS[0], *CHATS[1]))
    (tokens,) = SupervisedFinetuning().encode([example], ExampleEncoder(chat_tokenizer(), [0]), Labels())
    text = chat_tokenizer().decode(torch.tensor(tokens.targets[tokens.targets >= 0]).tolist(), skip_special_tokens=False)
    assert text == "".join(f"{chat[-1]['content']}<|im_end|>" for chat in CHATS[:2])
