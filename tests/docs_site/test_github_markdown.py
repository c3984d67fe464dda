"""Markdown as GitHub reads it, given to Python-Markdown."""

import pytest

from scripts.docs_site.github_markdown import anchor, for_python_markdown
from scripts.docs_site.links import outside_code


@pytest.mark.parametrize(
    ("github", "python_markdown"),
    [
        ("text\n- a\n- b", "text\n\n- a\n- b"),
        ("text:\n```sh\nls\n```", "text:\n\n```sh\nls\n```"),
        ("- a\n  - b\n    more\n- c", "- a\n    - b\n        more\n- c"),
        (
            "1. a\n\n   text\n\n   ```sh\n   ls\n     x\n   ```\n\nend",
            "1. a\n\n    text\n\n    ```sh\n    ls\n      x\n    ```\n\nend",
        ),
        ("10. a\n    b", "10. a\n    b"),
        ("- a\n## B\n- c", "- a\n\n## B\n\n- c"),
        ("text\n| a |\n|---|\n| b |", "text\n\n| a |\n|---|\n| b |"),
        ("> text\n> - a\n>   - b", "> text\n>\n> - a\n>     - b"),
        ("```\n> text\n> - a\n```", "```\n> text\n> - a\n```"),
        ("- a\n\ntext", "- a\n\ntext"),
        ("```\n- a\n  - b\n```", "```\n- a\n  - b\n```"),
        ("<details>\n<summary>Solution</summary>", '<details markdown="1">\n<summary>Solution</summary>'),
        ("- a\nlazy", "- a\n    lazy"),
        ("2021 - a\n**b**", "2021 - a\n**b**"),
    ],
)
def test_lists_fences_and_details(github: str, python_markdown: str) -> None:
    assert for_python_markdown(github) == python_markdown


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("What's new?", "whats-new"),
        ("Speed: 2 cores", "speed-2-cores"),
        ("A & B", "a--b"),
        ("显存不够", "显存不够"),
        ("snake_case --flag", "snake_case---flag"),
    ],
)
def test_anchors_are_githubs(heading: str, expected: str) -> None:
    assert anchor(heading) == expected


def test_code_keeps_its_links() -> None:
    text = "[a](a) `[b](b)`\n```\n[c](c)\n```\n``[d](d) ` `` [e](e)\n"
    assert outside_code(text, str.upper) == "[A](A) `[b](b)`\n```\n[c](c)\n```\n``[d](d) ` `` [E](E)\n"
