"""Reports in two languages."""

import ast
import re
from pathlib import Path

import pytest

import lmcraft.reports
from lmcraft.evaluation.results import Measure, TaskResult, compute_figures
from lmcraft.reports.chinese import CHINESE
from lmcraft.reports.evaluation import write_evaluation
from lmcraft.reports.evidence.missing import SAFETY_PARTS
from lmcraft.reports.language import say, writing_in
from lmcraft.reports.template import SPOKEN, fill_bilingual

FOLDER = Path(lmcraft.reports.__file__).parent
PLACEHOLDER = re.compile(r"\{\w+\}")


def spoken_texts() -> set[str]:
    """The texts that the code and the templates say."""
    texts = {text for path in FOLDER.glob("*.html") for text in SPOKEN.findall(path.read_text(encoding="utf-8"))}
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
                match node.args[0]:
                    case ast.Constant(value=str(text)):
                        texts.add(text)
    return texts


def test_every_text_is_in_chinese_with_the_same_values() -> None:
    assert not spoken_texts() - CHINESE.keys()
    for english, chinese in CHINESE.items():
        assert set(PLACEHOLDER.findall(english)) == set(PLACEHOLDER.findall(chinese)), english
        assert re.search("[\u4e00-\u9fff]|[（）]", chinese), english


def test_every_sentence_about_what_is_missing_is_in_chinese() -> None:
    tree = ast.parse((FOLDER / "evidence" / "missing.py").read_text(encoding="utf-8"))
    yields = [
        node.value.elts[1] for node in ast.walk(tree) if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple)
    ]
    sentences = [node.value for node in yields if isinstance(node, ast.Constant)]
    sentences += [f"Safety: {title}." for title in SAFETY_PARTS.values()]
    assert len(sentences) > 10 and not set(sentences) - CHINESE.keys()


def test_a_text_is_said_in_the_language_of_the_page() -> None:
    assert say("step {step}", step=3) == "step 3"
    with writing_in("zh-Hans"):
        assert say("step {step}", step=3) == "第 3 步"
        assert say("a name") == "a name"


def test_a_page_has_both_languages() -> None:
    names = ("title", "settings", "figures", "failed", "charts", "calibration", "energy")
    page = fill_bilingual(
        "evaluation.html",
        lambda: dict.fromkeys(names, say("step")),
    )
    english, chinese = page.split('<main lang="zh-Hans">')
    assert "<title>step</title>" in english and "<h1>step</h1>" in english and "<h1>步数</h1>" in chinese


@pytest.mark.parametrize("name", ["page.html", "evaluation.html", "range_test.html", "preparation.html"])
def test_a_template_has_no_english_of_its_own(name: str) -> None:
    text = SPOKEN.sub("", (FOLDER / name).read_text(encoding="utf-8"))
    assert not re.search(r">[^<$]*[a-z]{2}", re.sub(r"\$\w+", "$", text))


def test_a_task_that_is_no_text_of_ours_keeps_its_name(tmp_path: Path) -> None:
    result = TaskResult("steps", compute_figures((Measure("acc"),), []), None, [], tmp_path, False, None, ())
    page = write_evaluation(tmp_path, "steps", {}, [result]).read_text(encoding="utf-8")
    assert "<h1>Evaluation of steps</h1>" in page and "<h1>steps 的评测</h1>" in page
