"""The code of README and docs runs: shell lines and Python blocks, on tiny models and with runs of a few steps.

A block runs in the order of its page, after the blocks before it. `test_readme` parses every `lmcraft` line, and compares
the blocks of README.zh; tests/docs has the other languages and programs.
"""

import io
import json
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tomli_w

from lmcraft import PrepareConfig, prepare
from lmcraft.cli import main
from lmcraft.commands.examples import EXAMPLES
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.hub import short_names
from lmcraft.hub.address import LocalAddress
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.language_model import LanguageModel
from lmcraft.pretraining.config import PlanConfig, PretrainConfig, ScalingConfig
from lmcraft.server.conversations.store import Store
from lmcraft.server.http.server import listen
from tests.docs.blocks import Block, commands, pages
from tests.finetuning.chat import chat_model, chat_tokenizer
from tests.inference.test_adapters import adapter_for
from tests.server.tiny_server import running
from tests.tiny import TEXT

ROOT = Path(__file__).parents[1]
PAGES = [
    page for page in pages() if page == "README.md" or (page.startswith("docs/") and not page.startswith("docs/commands/"))
]
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)
NAMED_FILE = re.compile(
    r"```(?:toml|python)\n# (\S+)\n(.*?)```", re.DOTALL
)  # a file that the page shows, with its name on top
QUOTED_PAGES = {"docs/add-a-family.md", "docs/add-an-objective.md"}  # their blocks quote the source
INPUT_MODELS = ("quickstart/model", "models/mine", "models/base", "models/a", "models/b", "models/SmolLM2-135M-Instruct")
NOT_RUN = {
    "generate hf:": "downloads from the hub",
    "pull hf:": "downloads from the hub",
    "quickstart": "takes five minutes; tests/commands/test_quickstart.py runs it on less",
    "guard pairs": "needs a model some of whose answers are harmful; tests/commands/test_guard.py has one",
    "finetune models/mine pairs.jsonl": "needs the output of the line above",
    "evaluate models/mine --tasks my-task.toml --require": "ends with status 1: the tests' model guesses",
    "inspect gguf:some-model": "needs a file of the reader's own",
    "scaling datasets/python": "tells how the figures were measured",
    "chat http://127.0.0.1:8000": "needs a running server",
    "chat --continue": "needs a conversation",
    "chat --resume": "needs a conversation",
    "serve --engine vllm": "needs a running vLLM",
    "evaluate models/mine --tasks regressions.toml": "needs the reader's own tests",
    "report models/mine --verify": "needs a model with a lineage",
    "prepare --from-store": "needs a store with ratings",
    "prepare --from-review": "needs a store with verdicts",
    "finetune MODEL datasets/reviewed": "needs the output of the line above",
    "evaluate models/better": "needs the output of the lines above",
    "finetune MODEL datasets/feedback": "needs the output of the line above",
    "inspect datasets/mix": "needs a dataset from the reader's own recipe",
    "plan datasets/mix": "needs a dataset from the reader's own recipe",
    "plan datasets/mine --dp.epsilon": "measures two sizes of model",
    "pretrain datasets/mix": "needs a dataset from the reader's own recipe",
    'explain models/mine "The capital': "needs a model that knows capitals",
    "explain models/mine --fit-lens": "reads a hundred texts",
    'explain models/mine "The quick': "needs a model with its run",
    "forget models/mine --document": "needs a model with its run",
    "forget models/base --text": "needs a model that knows a text",
    "audit safety": "asks thousands of prompts",
    "guard compare": "trains many runs",
    "review sample": "needs the reader's own questions",
    "review verify reviews.sqlite --expect": "needs anchors of the reader's own store",
    "search ": "trains many runs, in processes of its own",
    "runs models --watch": "runs until Ctrl-C",
    "runs models --export trackio": "needs trackio, which the tests do not install",
    "pretrain searches/": "needs the output of a search",
}


@pytest.fixture
def world(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with the texts, examples and models that a page mentions and does not make itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my-texts").mkdir()
    for file in ("my.txt", "my-texts/some.txt", *(f"my-texts/{n}.txt" for n in range(20))):
        Path(file).write_text(f"{file}\n{2 * TEXT}", encoding="utf-8")
    Path("manuals").mkdir()
    Path("manuals/printer.md").write_text("# Maintenance\n\nOpen the lid and run `printer --clean`.\n")
    Path("my-crawl").mkdir()
    sections = [part for file in PAGES for part in (ROOT / file).read_text(encoding="utf-8").split("\n## ")]
    Path("my-crawl/pages.jsonl").write_text("".join(json.dumps({"text": section}) + "\n" for section in sections))
    monkeypatch.syspath_prepend(tmp_path)
    numbers = range(24)
    turns = [[{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}] for n in numbers]
    Path("my-chats.jsonl").write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in turns))
    Path("labels.csv").write_text("text,label\n" + "".join(f"text {n},{('even', 'odd')[n % 2]}\n" for n in numbers))
    Path("my-task.csv").write_text("n,answer\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in numbers))
    settings = {"kind": "multiple_choice", "data": "my-task.csv", "prompt": "{{ n }}", "choices": "['a', 'b']"}
    Path("my-task.toml").write_text(tomli_w.dumps(settings | {"answer": "answer"}))
    Path("my-prompts.txt").write_text("Once upon a time\nThe quick brown fox\n")
    insults = [{"text": f"{n} you utter clown", "label": "insult"} for n in range(300)]
    harmless = [{"text": f"{n} a sunny day", "label": "ok"} for n in range(300)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*insults, *harmless)))
    Path("more.csv").write_text("text,label\nwhat a clown you are,insult\nrain in Oslo,ok\n")
    for name in ("questions.txt", "prompt.txt", "letter.txt"):
        Path(name).write_text("Write to ada@example.org\n")
    Path("city.json").write_text('{"type": "boolean"}')
    Path("mail.jsonl").write_text('{"text": "Write to ada@example.org"}\n')
    Path("answers.jsonl").write_text('{"prompt": "Hello", "answer": "Good day"}\n')
    pairs = [{"prompt": f"{n}?", "chosen": f"{n}!", "rejected": f"{n}."} for n in numbers]
    Path("preferences.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    text = (ROOT / page).read_text(encoding="utf-8")
    if "lmcraft keys export ada" in text:
        (data := tmp_path / ".local/share/lmcraft").mkdir(parents=True)
        store = Store.open(str(data / "chats.sqlite"))
        store.create("ada", title="A trip")
        store.close()
    for name, contents in NAMED_FILE.findall(text):
        Path(name).write_text(contents, encoding="utf-8")
    sizes = {"max_position_embeddings": 512, "num_hidden_layers": 4, "intermediate_size": 64}
    transformer = chat_model(**sizes)
    model, other = (
        LanguageModel(each, chat_tokenizer(), GenerationConfig(max_new_tokens=4))
        for each in (transformer, chat_model(seed=1, **sizes))
    )
    pulled = "models/SmolLM2-135M-Instruct" if "lmcraft pull smollm2-135m-instruct" in text else ""
    outputs = {pulled, *re.findall(r"(?:--out |out=\")([\w/-]+)", text)}
    for name in set(INPUT_MODELS) - outputs:
        (other if name == "models/b" else model).save(Path(name))
    for name in ("models/pirate", "models/identity"):
        adapter_for(
            transformer, Path(name), seed=1, base_model_name_or_path=str(tmp_path / "downloads/SmolLM2-135M-Instruct")
        )
    if "datasets/mine" in text and "datasets/mine" not in outputs:
        prepare(PrepareConfig("my-texts", out="datasets/mine", vocab_size=300))  # type: ignore[arg-type]
    downloaded = tmp_path / "downloads/SmolLM2-135M-Instruct"
    model.save(downloaded)
    monkeypatch.setitem(short_names.NAMES, "smollm2-135m-instruct", LocalAddress(downloaded))


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training takes two steps of a small model, whatever the settings say."""
    size = {"batch_size": 2, "sequence_length": 32, "device": "cpu", "precision": "fp32", "compile": "off"}
    pretrain = {**size, "depth": 1, "max_steps": 2, "max_tokens": 0, "time_budget": 0, "attention": "matmul"}
    measured = {"micro_batch_size": 2}  # so that memory is not estimated for it
    _shorten(monkeypatch, PretrainConfig, **pretrain, **measured)
    _shorten(monkeypatch, PlanConfig, **pretrain)
    _shorten(monkeypatch, ScalingConfig, tokens_per_parameter=(0.001, 0.002), **size, **measured)
    _shorten(monkeypatch, FinetuneConfig, **{**size, "sequence_length": 128}, **measured, max_steps=2, report_answers=1)


def _shorten(monkeypatch: pytest.MonkeyPatch, cls: Any, **settings: Any) -> None:
    resolved: Callable[[Any], Any] = cls.resolved
    monkeypatch.setattr(cls, "resolved", lambda self: resolved(replace(self, **settings)))


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, code) of each block."""
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if page not in QUOTED_PAGES and blocks(page)])
def test_the_code_of_a_page_runs(
    page: str,
    world: None,
    short_runs: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stopped_server = SimpleNamespace(run=lambda sockets: None)
    names: dict[str, Any] = {}
    for language, code in [*blocks(page), *([("sh", further_examples())] if page == "docs/commands.md" else [])]:
        if language == "python":
            with running(tmp_path / "server") if "OpenAI(" in code else nullcontext() as server:
                if server is not None:
                    code = code.replace("http://127.0.0.1:8000", server.url).replace("SmolLM2-135M-Instruct", "tiny")
                exec(compile(code, page, "exec"), names)
            continue
        with monkeypatch.context() as patches:
            patches.setattr("lmcraft.server.http.server.make_server", lambda *arguments, **settings: stopped_server)
            patches.setattr("lmcraft.server.http.server.end_process", lambda: None)
            patches.setattr("lmcraft.server.http.server.listen", lambda host, port: listen(host, 0))  # not two pages on one
            for command in commands(Block(page, language, code)):
                if not is_run(command):
                    continue
                words = shlex.split(command.split(" | ")[0].split(" < ")[0])
                _, _, file = command.partition(" < ")
                contents = Path(file).read_bytes() if file else b""
                patches.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(contents), encoding="utf-8"))
                assert main(words[1:]) == 0, f"{command}\n{capsys.readouterr().err}"


def is_run(command: str) -> bool:
    """Whether a command is lmcraft's and has no reason not to run."""
    return command.startswith("lmcraft ") and not any(command.startswith(f"lmcraft {start}") for start in NOT_RUN)


def further_examples() -> str:
    """The examples of the commands' help, which the pages in docs/commands show, that no other page has."""
    others = [Block(page, *block) for page in PAGES for block in blocks(page)]
    shown = {" ".join(command.split()) for block in others for command in commands(block)}
    examples = [command for text in EXAMPLES.values() for command in commands(Block("", "sh", text))]
    needed = ("lmcraft guard init", "lmcraft review guideline", "lmcraft serve --api-keys keys.toml --new-api-key")
    return "\n".join(command for command in examples if " ".join(command.split()) not in shown or command.startswith(needed))


@pytest.mark.parametrize("page", sorted(QUOTED_PAGES))
def test_quoted_code_is_the_source(page: str) -> None:
    def normalize(code: str) -> str:
        return re.sub(r"\s+|#.*", "", code)

    files = [file for folder in ("src", "tests") for file in (ROOT / folder).rglob("*.py")]
    sources = normalize("\n".join(file.read_text(encoding="utf-8") for file in files))
    for _, code in blocks(page):
        assert normalize(code) in sources, code
