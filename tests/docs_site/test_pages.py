"""Pages: each is in the navigation, its links lead somewhere, its Chinese version shows the same code."""

import re

import pytest
from markdown_it import MarkdownIt

from scripts.docs_site.build import llms, read_toml, settings_of
from scripts.docs_site.github_markdown import headings
from scripts.docs_site.links import Links
from scripts.docs_site.llms import first_sentence, title_of
from scripts.docs_site.navigation import entries, expand
from scripts.docs_site.pages import LANGUAGES, ROOT, DocsError, Page, chinese_source, english_pages, pages_of

CODE = re.compile(r"^ *(`{3,})([^`\n]*)\n(.*?)^ *\1$", re.DOTALL | re.MULTILINE)
TRANSLATED = [(source, chinese_source(source)) for source in english_pages().values()]
TRANSLATED = [(english, chinese) for english, chinese in TRANSLATED if (ROOT / chinese).is_file()]


def read(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_in_the_navigation_once(language: str) -> None:
    pages = [page.address for page in pages_of(language)]
    assert sorted(entries(settings_of(language, pages)["project"]["nav"])) == sorted(pages)


@pytest.mark.parametrize("language", LANGUAGES)
def test_links_lead_to_files(language: str) -> None:
    links = Links(language)
    for page in pages_of(language):
        links.rewrite(page)
    assert links.problems == []


@pytest.mark.parametrize(("english", "chinese"), TRANSLATED, ids=[chinese for _, chinese in TRANSLATED])
def test_a_chinese_page_shows_the_code_of_the_english_one(english: str, chinese: str) -> None:
    """So the code of a page is run once, and no translation falls behind unnoticed."""
    assert CODE.findall(read(chinese)) == CODE.findall(read(english))


@pytest.mark.parametrize(("english", "chinese"), TRANSLATED, ids=[chinese for _, chinese in TRANSLATED])
def test_a_chinese_page_has_the_headings_of_the_english_one(english: str, chinese: str) -> None:
    """Its headings get their anchors."""
    assert [level for level, _ in headings(read(chinese))] == [level for level, _ in headings(read(english))]


def test_every_chinese_page_has_an_english_one() -> None:
    chinese = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/zh").rglob("*.md")}
    assert chinese <= {translated for _, translated in TRANSLATED}


def test_every_title_of_the_navigation_has_a_translation() -> None:
    titles = set(
        re.findall(r"{ \"?([^\"]+)\"? = \[", read("zensical.toml").partition("nav = ")[2].partition("[project.theme]")[0])
    )
    assert titles == set(read_toml("zensical.zh.toml")["sections"])


def test_a_page_outside_the_navigation_and_one_named_twice_are_errors() -> None:
    with pytest.raises(DocsError, match=r"b\.md is in no section .*\nc\.md is twice"):
        expand([{"A": ["a.md", "c.md"]}, {"C": ["c.md"]}], ["a.md", "b.md", "c.md"], {})


def test_patterns_stand_for_the_pages_that_are_named_nowhere() -> None:
    nav = expand([{"A": ["*.md", {"B": ["gone.md"]}]}, {"C": ["c.md"]}], ["a.md", "c.md", "x/b.md"][:2], {"C": "丙"})
    assert nav == [{"A": ["a.md"]}, {"丙": ["c.md"]}]


@pytest.mark.parametrize(
    ("language", "source", "link", "target"),
    [
        ("en", "docs/serving.md", "../recipes/README.md#now", "recipes/index.md#now"),
        ("en", "docs/serving.md", "images/runs.png", "images/runs.png"),
        ("en", "recipes/README.md", "../docs/serving.md", "../serving.md"),
        ("en", "docs/serving.md", "../src/lmcraft/model/config.py", "files/src/lmcraft/model/config.py.md"),
        ("en", "docs/index.md", "zh/index.md", "zh/index.html"),
        ("en", "docs/serving.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("zh", "docs/zh/index.md", "../serving.md", "serving.md"),
        ("zh", "docs/zh/index.md", "../images/runs.png", "images/runs.png"),
        ("zh", "docs/zh/index.md", "../../LICENSE", "files/LICENSE.md"),
    ],
)
def test_links_are_those_of_the_site(language: str, source: str, link: str, target: str) -> None:
    links = Links(language)
    page = Page(links.addresses[source], source, language)
    assert links._target(link, page) == target and not links.problems


def test_a_link_to_no_file_is_a_problem() -> None:
    links = Links("en")
    links._target("gone.md", Page("index.md", "docs/index.md", "en"))
    assert links.problems == ["docs/index.md: the link gone.md leads to no file"]


def test_llms_txt_is_current() -> None:
    assert read("llms.txt") == llms(), "run scripts/docs"


def test_llms_txt_has_the_first_sentence_of_a_page() -> None:
    text = "# A `b`\n\n```sh\nls\n```\n\n- item\n\n[Links](b.md) work: as here. More.\n"
    assert (title_of(text), first_sentence(text)) == ("A b", "Links work.")
    assert first_sentence("# A\n\n| a | b |\n") == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_bold_text_is_bold(language: str) -> None:
    """In Markdown, two stars after a full stop and before a letter, as Chinese has them, do not end bold text."""
    github = MarkdownIt("commonmark").enable("table")
    texts = {
        page.source: [
            child.content for token in github.parse(page.text) for child in token.children or [] if child.type == "text"
        ]
        for page in pages_of(language)
    }
    marks = re.compile(r"(?<![ \d])\*\*|\*\*(?![ \d])")  # powers aside
    assert {
        source: found for source, lines in texts.items() if (found := [line for line in lines if marks.search(line)])
    } == {}
