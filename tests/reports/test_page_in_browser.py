"""The report of a model in Chromium: no requests, both themes and languages, wide and narrow, on paper."""

from importlib.resources import files
from typing import Any

import pytest

from lmcraft.folder import ModelFolder, write_json_lines
from lmcraft.reports.page import write_report
from tests.reports.sections.test_energy import evidence_of
from tests.server.pages.test_accessibility import FIND_PROBLEMS

pytest.importorskip("axe_playwright_python")

HOSTILE = "<script>document.title = 'run'</script><img src=http://127.0.0.1:9/x>\u202e" + "界" * 60
IS_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
PAPER = "getComputedStyle(document.body).backgroundColor"
WHITE = "rgb(255, 255, 255)"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = ModelFolder(tmp_path_factory.mktemp("reports") / "a <b>name")
    folder.run.mkdir(parents=True)
    evidence_of(folder.path, 3600.0, 1800.0)
    step = {"tokens_per_second": 5.0, "learning_rate": 0.1, f"validation_loss/{HOSTILE}": 1.0, "validation_loss": 1.0}
    tasks = {"tasks": {HOSTILE: {"acc": [0.5, 0.4, 0.6]}}, "items": {HOSTILE: 3}, "chance": {HOSTILE: 0.25}}
    rows = [step | tasks | {"step": n, "loss": 3.0 - n, "joules": 10.0 * n} for n in range(3)]
    write_json_lines(folder.metrics, rows)
    write_json_lines(folder.samples, [{"step": 1, "text": HOSTILE * 30}])
    folder.config_toml.write_text(f"depth = 4\n'{'x' * 90}' = 1\n", encoding="utf-8")
    (folder.run / "lineage.json").write_text("{", encoding="utf-8")
    return write_report(folder).as_uri()


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", 1280), ("zh-Hans", "dark", 390)])
def test_the_page_is_accessible_and_asks_for_nothing(
    browser: Any, report: str, language: str, theme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, bypass_csp=True)
    page = context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report)
    page.check(f'input[value="{language}"]')
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    assert page.evaluate(FIND_PROBLEMS, None) == []
    page.check(f'input[value="{"dark" if theme == "light" else "light"}"]')
    assert page.evaluate(FIND_PROBLEMS, ["color-contrast"]) == [] and not page.evaluate(IS_WIDE)
    assert requests == [report] and page.title() == "a <b>name"
    context.close()


def test_the_theme_is_that_of_the_system_until_the_reader_chooses(browser: Any, report: str) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(report)
    dark = page.evaluate(PAPER)
    page.check('input[value="light"]')
    assert page.evaluate(PAPER) == WHITE != dark
    page.check('input[value="dark"]')
    page.emulate_media(color_scheme="light")
    assert page.evaluate(PAPER) == dark
    page.emulate_media(media="print")
    assert page.evaluate(PAPER) == WHITE and not page.is_visible(".switches")
    context.close()


def test_links_of_the_contents_lead_to_the_language_shown(browser: Any, report: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(report)
    page.check('input[value="zh-Hans"]')
    page.click('main[lang="zh-Hans"] .contents a:has-text("能耗与碳排放")')
    assert page.evaluate("document.querySelector(':target').closest('main').lang") == "zh-Hans"
    context.close()
