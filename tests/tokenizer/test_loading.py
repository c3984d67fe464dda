"""Loading tokenizers from files, and their chat templates."""

import json
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.tokenizer import Tokenizer, train_bpe
from tests.finetuning.chat import CHATML, chat_tokenizer

TEMPLATE = """{% for message in messages %}
{% if message.role not in ("user", "assistant") %}
{{ raise_exception("no role " + message.role) }}
{% endif %}
<{{ message.role }}>{% generation %}{{ message.content | tojson }}{% endgeneration %}

{% endfor %}
{% if add_generation_prompt %}<assistant>{% endif %}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train_bpe(["some text " * 20], vocab_size=270).save(tmp_path)
    return tmp_path


def configure(folder: Path, **values: object) -> Tokenizer:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return Tokenizer.load(folder)


def test_a_folder_or_its_file(folder: Path) -> None:
    ids = Tokenizer.load(folder).encode("some text")
    assert Tokenizer.load(folder / "tokenizer.json").encode("some text") == ids
    assert Tokenizer.load(str(folder)).eos_token_id == 0


@pytest.mark.parametrize("broken", ["{", "{}", "[]"])
def test_damaged_files_are_user_errors(folder: Path, broken: str) -> None:
    (folder / "tokenizer.json").write_text(broken)
    with pytest.raises(UserError, match="cannot be read"):
        Tokenizer.load(folder)


def test_no_tokenizer_is_a_user_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", tmp_path / "absent.json"):
        with pytest.raises(UserError, match="no tokenizer at"):
            Tokenizer.load(path)


def test_roles_of_tokens(folder: Path) -> None:
    tokenizer = configure(folder, eos_token={"content": "<|endoftext|>"}, pad_token="!", bos_token=None)
    assert (tokenizer.eos_token_id, tokenizer.bos_token_id) == (0, None)
    assert tokenizer.pad_token_id == tokenizer.id_of("!")


def test_truncation_and_padding_in_a_file_do_not_change_ids(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert Tokenizer.load(folder).encode("text " * 9) == tokenizer.encode("text " * 9)


def test_chat_template_renders_as_in_transformers(folder: Path) -> None:
    from transformers import AutoTokenizer

    ours = configure(folder, chat_template=TEMPLATE)
    theirs = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": '<你好> & "bye"'}, {"role": "assistant", "content": "x"}]
    for prompt in (True, False):
        expected = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        assert ours.apply_chat_template(messages, add_generation_prompt=prompt) == expected
    ours.save(folder / "copy")
    assert Tokenizer.load(folder / "copy").apply_chat_template(messages) == ours.apply_chat_template(messages)


def test_a_template_file_takes_precedence_and_a_list_has_a_default(folder: Path) -> None:
    named = [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]
    named.append({"name": "tool_use", "template": "u"})
    assert configure(folder, chat_template=named).apply_chat_template([]) == "d"
    assert configure(folder, chat_template=named).apply_chat_template([], tools=[{}]) == "u"
    (folder / "chat_template.jinja").write_text("j")
    assert Tokenizer.load(folder).apply_chat_template([]) == "j"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",  # the escape from an unsandboxed template
        "{{ messages.append(1) }}",
        "{% broken",
        "{{ raise_exception('roles must alternate') }}",
        "{{ 1 / 0 }}",
    ],
)
def test_templates_that_fail_or_attack_are_user_errors(folder: Path, template: str) -> None:
    tokenizer = configure(folder, chat_template=template)
    with pytest.raises(UserError, match="chat template"):
        tokenizer.apply_chat_template([{"role": "user", "content": "x"}])


def test_a_missing_template_is_an_error(folder: Path) -> None:
    with pytest.raises(UserError, match="no chat template"):
        Tokenizer.load(folder).apply_chat_template([])


def test_begin_ids_are_detected_but_not_added(folder: Path) -> None:
    from tokenizers import processors

    tokenizer = Tokenizer.load(folder)
    assert tokenizer.begin_ids == ()
    end = tokenizer.eos_token_id
    content = json.loads((folder / "tokenizer.json").read_text())
    bos = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", end)])
    content["post_processor"] = json.loads(bos.__getstate__())
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with_bos = Tokenizer.load(folder)
    assert with_bos.begin_ids == (end,) and with_bos.encode("text") == tokenizer.encode("text")


def test_templates_in_files_of_their_own(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("default")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates/tool_use.jinja").write_text("tools")
    tokenizer = Tokenizer.load(folder)
    tokenizer.save(folder / "copy")
    for loaded in (tokenizer, Tokenizer.load(folder / "copy")):
        assert loaded.apply_chat_template([]) == "default" and loaded.apply_chat_template([], tools=[{}]) == "tools"
    (folder / "chat_template.jinja").unlink()
    assert configure(folder, chat_template="from the config").apply_chat_template([]) == "from the config"
    assert Tokenizer.load(folder).apply_chat_template([], tools=[{}]) == "tools"


def test_special_tokens_map_alone_names_the_roles(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    (folder / "special_tokens_map.json").write_text(
        json.dumps({"eos_token": {"content": "<|endoftext|>"}, "pad_token": "!"})
    )
    tokenizer = Tokenizer.load(folder)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, tokenizer.id_of("!"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "t"}))
    assert Tokenizer.load(folder).eos_token_id == tokenizer.id_of("t")


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        ("{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}", None),
        ("<|im_start|>{% for m in messages %}{{ m.role }}: {{ m.content }}\n<|im_end|>{% endfor %}", "<|im_end|>"),
        ("{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}<|im_start|>", None),
        ("{{ raise_exception('never') }}", None),
        ("{{ messages[0].content }}", None),
        ("{% broken", None),
    ],
)
def test_the_token_that_ends_a_turn_is_read_from_the_template(template: str, end: str | None) -> None:
    tokenizer = chat_tokenizer(template)
    assert tokenizer.turn_end_token_id == (None if end is None else tokenizer.id_of(end))
