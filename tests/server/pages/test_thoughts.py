"""What a model thinks before its answer, on the chat page."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from lmcraft.language_model import LanguageModel
from tests.finetuning.chat import CHATML, chat_model, chat_tokenizer
from tests.server.pages.conftest import open_page, wait_until_all_is_saved
from tests.server.scripted_engine import ScriptedEngine, in_words, scripted_engine
from tests.server.tiny_server import running

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

BEGINS_THOUGHTS = CHATML.replace("assistant\\n'", "assistant\\n<think>\\n'") + "{# </think> #}"
ANSWER = "#messages > li.assistant"
THOUGHTS = f"{ANSWER} details.thoughts"


def think(text: str, field: str = "reasoning_content") -> list[dict[str, str]]:
    return [{field: word} for word in in_words(text)]


@pytest.fixture(scope="module")
def engine() -> Iterator[ScriptedEngine]:
    with scripted_engine() as running_engine:
        yield running_engine


@pytest.fixture(scope="module")
def url(engine: ScriptedEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    with running(tmp_path_factory.mktemp("gateway"), upstream=engine.url) as gateway:
        yield gateway.url


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    with open_page(browser, url, width=1000, height=700) as page:
        yield page


def ask(page: Any, text: str) -> None:
    expect(page.locator("#send")).to_be_visible()
    page.fill("#input", text)
    page.press("#input", "Enter")


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_are_folded_above_the_answer(page: Any, engine: ScriptedEngine, field: str) -> None:
    engine.script = lambda body: [*think("First I *count* the words.", field), *in_words("There are nine words.")]
    ask(page, "How many?")
    expect(page.locator(f"{ANSWER} .body")).to_have_text("There are nine words.")
    expect(page.locator(f"{THOUGHTS} summary")).to_contain_text("Thought for")
    expect(page.locator(f"{THOUGHTS} .thought-text")).to_be_hidden()
    page.click(f"{THOUGHTS} summary")
    expect(page.locator(f"{THOUGHTS} .thought-text em")).to_have_text("count")
    page.reload()
    expect(page.locator(f"{THOUGHTS} summary")).to_contain_text("Thought for")
    page.click(f"{THOUGHTS} summary")
    expect(page.locator(f"{THOUGHTS} .thought-text")).to_have_text("First I count the words.")
    expect(page.locator(f"{ANSWER} .body")).to_have_text("There are nine words.")


def test_thoughts_that_an_engine_leaves_in_the_text_are_folded(page: Any, engine: ScriptedEngine) -> None:
    engine.script = lambda body: in_words("<think>\nFirst I count.\n</think>\n\nThere are nine words.")
    ask(page, "How many?")
    expect(page.locator(f"{ANSWER} .body")).to_have_text("There are nine words.")
    page.click(f"{THOUGHTS} summary")
    expect(page.locator(f"{THOUGHTS} .thought-text")).to_have_text("First I count.")


def test_an_edited_answer_keeps_its_thoughts(page: Any, engine: ScriptedEngine) -> None:
    engine.script = lambda body: [*think("hm"), "Yes."]
    ask(page, "Really?")
    expect(page.locator("#send")).to_be_visible()
    page.click(f'{ANSWER} [data-act="edit"]')
    page.fill(f"{ANSWER} textarea", "No.")
    page.locator(f"{ANSWER} .editor .main").click()
    expect(page.locator(f"{ANSWER} .body")).to_have_text("No.")
    expect(page.locator(f"{THOUGHTS} summary")).to_be_visible()


def test_the_next_prompt_has_the_thoughts_apart_from_the_answer(page: Any, engine: ScriptedEngine) -> None:
    engine.script = lambda body: [*think("hm"), "Yes."]
    ask(page, "Really?")
    expect(page.locator(f"{ANSWER} .body")).to_have_text("Yes.")
    ask(page, "Sure?")
    expect(page.locator(f"{ANSWER} .body")).to_have_count(2)
    expect(page.locator(f"{ANSWER} .body").last).to_have_text("Yes.")
    answered = engine.requests[-1]["messages"][1]
    assert answered == {"role": "assistant", "content": "Yes.", "reasoning_content": "hm"}


def test_thoughts_are_shown_while_the_model_thinks(page: Any, engine: ScriptedEngine) -> None:
    engine.script = lambda body: [*think("I am thinking about it, " * 1000), "Done."]
    engine.seconds_per_piece = 0.02
    try:
        ask(page, "Think!")
        expect(page.locator(f"{THOUGHTS} summary")).to_contain_text("Thinking")
        expect(page.locator(f"{THOUGHTS} .thought-text")).to_contain_text("thinking about it")
        page.press("#input", "Escape")
    finally:
        engine.seconds_per_piece = 0
    expect(page.locator(f"{ANSWER} .note")).to_have_text("Stopped.")
    expect(page.locator(f"{THOUGHTS} summary")).to_contain_text("Thought")
    page.reload()
    expect(page.locator(f"{THOUGHTS} .thought-text")).to_contain_text("thinking about it")


@pytest.fixture
def thinker_page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page of a model that answers after eight tokens of thoughts."""
    folder = tmp_path_factory.mktemp("thinker")
    with running(folder) as server:
        LanguageModel(chat_model(), chat_tokenizer(BEGINS_THOUGHTS)).save(folder / "thinker")
        server.state.registry.open("thinker", folder / "thinker")
        with open_page(browser, server.url, width=1000, height=900) as page:
            page.select_option("#model", "thinker")
            page.click("#open-panel")
            page.click("#fields summary")
            page.fill("#f-thinking_token_budget", "8")
            page.fill("#f-max_tokens", "60")
            page.press("#f-max_tokens", "Tab")
            yield page


def read_answers(page: Any) -> list[dict[str, Any]]:
    """The details of the two answers, as they are stored."""
    wait_until_all_is_saved(page)
    conversation = page.evaluate("fetch(`/api/conversations/${location.hash.slice(3)}`).then((response) => response.json())")
    return [message["details"] for message in conversation["messages"] if message["role"] == "assistant"]


def test_a_branch_from_a_token_of_the_thoughts_thinks_on(thinker_page: Any) -> None:
    page = thinker_page
    ask(page, "the fox")
    expect(page.locator("#messages .live")).to_have_count(0)
    expect(page.locator(f"{THOUGHTS} summary")).to_contain_text("Thought")
    page.click(f'{ANSWER} [data-act="tokens"]')
    page.locator(f"{ANSWER} .token").nth(4).click()
    page.locator("#alternatives ol button:enabled").last.click()
    expect(page.locator(f"{ANSWER} .switcher > span")).to_have_text("2/2")
    expect(page.locator("#messages .live")).to_have_count(0)
    first, branch = read_answers(page)
    ids = [[token["id"] for token in details["tokens"]] for details in (first, branch)]
    assert ids[0][:4] == ids[1][:4] and ids[0][4] != ids[1][4]
    assert first["thoughts"] and branch["thoughts"] and branch["thoughts"] != first["thoughts"]


def test_thoughts_that_were_cut_off_go_on(thinker_page: Any) -> None:
    page = thinker_page
    page.fill("#f-thinking_token_budget", "")
    page.fill("#f-max_tokens", "6")
    page.press("#f-max_tokens", "Tab")
    ask(page, "the fox")
    expect(page.locator(f"{ANSWER} .note")).to_contain_text("limit")
    page.click(f'{ANSWER} [data-act="continue"]')
    expect(page.locator(f"{ANSWER} .switcher > span")).to_have_text("2/2")
    expect(page.locator("#messages .live")).to_have_count(0)
    first, longer = read_answers(page)
    start = first["thoughts"].rstrip("\ufffd")  # half of a character, until the next token
    assert longer["thoughts"].startswith(start) and longer["thoughts"] != first["thoughts"]
    expect(page.locator(f"{ANSWER} .body")).to_have_text("")
