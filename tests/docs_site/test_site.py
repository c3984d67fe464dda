"""The built site: it opens from the file system, asks no other host for anything, and finds Chinese words."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from scripts.docs_site.build import build
from scripts.docs_site.pages import LANGUAGES, DocsError, Page, pages_of
from tests.server.pages.conftest import browser, new_context

__all__ = ["browser"]

pytestmark = pytest.mark.slow
FOUND = """() => {
  const addresses = [];
  const visit = (node) => {
    for (const element of node.querySelectorAll("*")) {
      if (element.shadowRoot) visit(element.shadowRoot);
      else if (node !== document && element.href) addresses.push(element.href);
    }
  };
  visit(document);
  return addresses;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both languages, built strictly."""
    pytest.importorskip("zensical")
    folder = tmp_path_factory.mktemp("docs")
    build(folder / "site", folder / "stages")
    return folder / "site"


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_have_the_lists_tables_and_blocks_that_github_shows(site: Path, language: str) -> None:
    github = MarkdownIt("commonmark").enable("table")
    different = []
    for page in pages_of(language):
        if not page.address.startswith("reference/"):
            html = (
                (site / ("zh" if language == "zh" else "") / page.address).with_suffix(".html").read_text(encoding="utf-8")
            )
            article = html.partition("<article")[2].partition("</article>")[0]
            if blocks(article) != blocks(github.render(page.text)):
                different.append(page.source)
    assert different == []


def blocks(html: str) -> Counter[str]:
    return Counter(re.findall(r"<(li|ul|ol|pre|table|h2|h3|img)[ >]", html))


@contextmanager
def opened(browser: Any, address: Path, **options: Any) -> Iterator[Any]:
    """A page of a phone's width; the test fails if it asks for anything outside the site, or throws an error."""
    problems: list[str] = []
    with new_context(browser, width=390, height=800) as context:
        page = context.new_page()
        page.emulate_media(**options)
        page.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address.as_uri())
        yield page
    assert problems == []


@pytest.mark.parametrize(
    ("address", "scheme"),
    [
        ("index.html", "dark"),
        ("zh/index.html", "light"),
        ("serving.html", "light"),
        ("reference/tokenizer.html", "dark"),
        ("learn/03-attention.html", "light"),
        ("zh/recipes/intents.html", "dark"),
    ],
)
def test_a_page_needs_no_network_and_can_be_read_on_a_phone(site: Path, browser: Any, address: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, site / address, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("article img").evaluate_all("(all) => all.every((image) => image.naturalWidth > 0)")
        assert page.locator(".arithmatex:not(:has(math))").count() == 0
        violations = axe.run(page).response["violations"]
        assert [(found["id"], [node["html"] for node in found["nodes"]]) for found in violations] == []
        other = page.locator("a.language-switch").get_attribute("href")
    expected = address.removeprefix("zh/") if address.startswith("zh/") else f"zh/{address}"
    assert (site / address).parent.joinpath(other).resolve() == site / expected


@pytest.mark.parametrize(
    ("start", "word", "address"),
    [("index.html", "perplexity", "harm-and-perplexity.html"), ("zh/index.html", "束搜索", "zh/learn/08-generation.html")],
)
def test_the_search_finds_a_word_inside_a_sentence(site: Path, browser: Any, start: str, word: str, address: str) -> None:
    with opened(browser, site / start) as page:
        page.keyboard.press("Control+k")
        page.wait_for_function("document.activeElement.shadowRoot?.activeElement?.tagName === 'INPUT'")
        page.keyboard.type(word)
        page.wait_for_function(f"({FOUND})().length > 0")
        assert any(f"/site/{address}" in found for found in page.evaluate(FOUND))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("# A\n\n[b](serving.md#no-such-section)\n", "no-such-section"), ("# A\n\n[b](gone.md)\n", "leads to no file")],
)
def test_wrong_links_fail_the_build(text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zensical")
    monkeypatch.setattr(Page, "text", property(lambda page: text if page.address == "index.md" else f"# {page.address}\n"))
    with pytest.raises(DocsError, match=problem):
        build(tmp_path / "site", tmp_path / "stages")
    assert not (tmp_path / "site").exists()
