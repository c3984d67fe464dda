"""What a chat template leaves out, and what it adds."""

from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.encoding import ExampleEncoder
from lmcraft.finetuning.examples import Conversation
from tests.finetuning.chat import CHATML, SPECIAL, chat_tokenizer, message

TOOLS = ({"type": "function", "function": {"name": "clock"}},)
CALLS = CHATML.replace(
    "message['content'] +",
    "message['content'] + (message.tool_calls | map(attribute='function') | map('tojson') | join('') "
    "if message.tool_calls else '') +",
)
THINKING = CHATML.replace(
    "message['content'] +",
    "('<think>' + message.reasoning_content if message.reasoning_content else '') + message['content'] +",
)
ASK = message("user", "What time is it?")
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}],
}
THOUGHT = {**message("assistant", "Noon"), "reasoning_content": "The sun is high."}


def encoder(template: str) -> ExampleEncoder:
    return ExampleEncoder(chat_tokenizer(template), [SPECIAL.index("<|im_end|>")])


def learned(template: str, *messages: Any, last_answer_only: bool = False) -> str:
    tokens = encoder(template).conversation(Conversation(tuple(messages)), last_answer_only=last_answer_only)
    return chat_tokenizer().decode(tokens.ids[tokens.loss_mask].tolist())


def test_tool_calls_are_learned_where_the_template_renders_them() -> None:
    assert learned(CALLS, ASK, CALL) == '{"name": "clock", "arguments": {"zone": "UTC"}}'
    assert learned(CALLS, ASK, {**CALL, "content": "Let me see."}).startswith("Let me see.{")


@pytest.mark.parametrize(
    ("template", "messages", "part"),
    [
        (CALLS.replace("join('')", "first"), (ASK, {**CALL, "tool_calls": CALL["tool_calls"] * 2}), "the tool call 'clock'"),
        (CHATML, (ASK, THOUGHT), "the reasoning_content of message 2"),
        (
            CHATML.replace("in messages", "in messages if message.role != 'system'"),
            (message("system", "Be brief."), ASK, message("assistant", "Noon")),
            "the content of message 1 \\(system\\)",
        ),
    ],
)
def test_what_a_template_leaves_out_is_named(template: str, messages: tuple[Any, ...], part: str) -> None:
    with pytest.raises(UserError, match=f"the chat template leaves out {part}"):
        learned(template, *messages)


def test_reasoning_is_learned_where_the_template_renders_it() -> None:
    assert learned(THINKING, ASK, THOUGHT) == "<think>The sun is high.Noon"
    assert learned(CHATML, ASK, THOUGHT, ASK, message("assistant", "One"), last_answer_only=True) == "One"


def test_answers_of_weight_0_are_not_learned() -> None:
    bad = {**message("assistant", "Midnight"), "weight": 0}
    assert learned(CHATML, ASK, bad, message("user", "No."), message("assistant", "Noon")) == "Noon"
    assert learned(CHATML, ASK, {**bad, "content": ""}, ASK, message("assistant", "Noon")) == "Noon"
    with pytest.raises(UserError, match="every answer has weight 0"):
        learned(CHATML, ASK, bad)


def test_an_answer_that_is_empty_in_the_template_is_refused() -> None:
    with pytest.raises(UserError, match="its answer is empty"):
        learned(CHATML, ASK, message("assistant", "<|im_end|>"))


def test_roles_are_standard_or_named_by_the_template() -> None:
    with pytest.raises(UserError, match="its role 'critic' is unknown: use system, user, assistant, tool, or a role that"):
        learned(CHATML, message("critic", "a"), message("assistant", "b"))
    assert learned("{# critic #}" + CHATML, message("critic", "a"), message("assistant", "b")) == "b"
    tokens = encoder(CHATML).conversation(Conversation((message("developer", "Be brief."), ASK, message("assistant", "b"))))
    assert "system\nBe brief." in chat_tokenizer().decode(tokens.ids.tolist())


def test_an_answer_without_a_question_is_explained() -> None:
    first = "{{ messages[0]['role'][:0] }}" + CHATML
    with pytest.raises(UserError, match=r'its message 1 \(assistant\) has no question before it.*or give it "weight": 0'):
        learned(first, message("assistant", "Welcome"), ASK, message("assistant", "Noon"))
    default = (
        "{% if messages and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe Ada.<|im_end|>\n' }}{% endif %}"
    )
    with pytest.raises(UserError, match=r"its message 1 \(assistant\) has no question before it"):
        learned(default + CHATML, message("assistant", "Welcome"), ASK, message("assistant", "Noon"))
    assert learned(CHATML, message("assistant", "Welcome"), ASK, message("assistant", "Noon")) == "WelcomeNoon"
    welcome = {**message("assistant", "Welcome"), "weight": 0}
    assert learned(first, welcome, ASK, message("assistant", "Noon")) == "Noon"


def test_calls_are_text_where_the_template_knows_none() -> None:
    assert learned(CHATML, ASK, CALL) == '<tool_call>\n{"name": "clock", "arguments": {"zone": "UTC"}}\n</tool_call>'
    assert learned(CHATML, ASK, {**CALL, "content": "Let me see."}).startswith("Let me see.\n<tool_call>")
    result = (message("tool", "12"), message("assistant", "Noon"))
    assert learned(CHATML, ASK, CALL, *result).endswith("</tool_call>Noon")
    conversation = Conversation((ASK, CALL, *result), TOOLS)
    assert encoder(CHATML).spells_out_tools(conversation)
    knows_tools = "{{ tools | tojson if tools else '' }}" + CALLS
    assert not encoder(knows_tools).spells_out_tools(conversation)


@pytest.mark.parametrize(
    ("default", "system"),
    [
        ("", ""),
        ("{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nBe Ada.<|im_end|>\\n' }}{% endif %}", "Be Ada."),
        ("{{ raise_exception('no system') if messages[0]['role'] == 'system' else '' }}", ""),
    ],
)
def test_the_system_message_of_a_template_is_recognized(default: str, system: str) -> None:
    assert encoder(default + CHATML).added_system_message() == system
