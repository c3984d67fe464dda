"""The lessons as one HTML page, which marks answers without a server."""

import json
from collections.abc import Sequence
from html import escape
from string import Template

from exercises import Exercise

PAGE = Template("""<!doctype html>
<html lang="$language"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }
pre { white-space: pre-wrap; font-family: ui-monospace, monospace }
fieldset { margin: 1rem 0; border: 1px solid gray; border-radius: .5rem }
input[type=text] { width: 100%; font: inherit; box-sizing: border-box }
label, details, output { display: block; margin: .25rem 0 }
</style></head><body><h1>$title</h1>
$body
<script>
const normal = text => text.trim().replace(/"/g, "'").replace(/\\s+/g, "").replace(/[.。]$$/, "").toLowerCase()
for (const form of document.forms) form.addEventListener("submit", event => {
  event.preventDefault()
  const answer = JSON.parse(form.dataset.answer), given = new FormData(form).get("answer") ?? ""
  const explains = form.dataset.kind === "explain"
  form.querySelector("output").textContent = explains ? answer : normal(given) === normal(answer) ? "✓" : "✗"
})
</script></body></html>
""")
WORDS = {
    "en": {"hint": "Hint", "check": "Check", "compare": "Compare with the chapter", "answer": "Your answer"},
    "zh": {"hint": "提示", "check": "批改", "compare": "对照原文", "answer": "你的回答"},
}


def lesson_page(title: str, introductions: dict[str, str], exercises: Sequence[Exercise], language: str) -> str:
    """A page with a lesson per section, whose introduction stands above its exercises."""
    body = []
    for section in dict.fromkeys(exercise.section for exercise in exercises):
        body.append(f"<h2>{escape(section)}</h2>\n<p>{escape(introductions.get(section, ''))}</p>")
        body += [_form(exercise, WORDS[language]) for exercise in exercises if exercise.section == section]
    return PAGE.substitute(title=escape(title), language=language, body="\n".join(body))


def _form(exercise: Exercise, words: dict[str, str]) -> str:
    choices = "".join(
        f'<label><input type="radio" name="answer" value="{escape(choice)}"> {escape(choice)}</label>'
        for choice in exercise.choices
    )
    field = choices or f'<label>{words["answer"]}<input type="text" name="answer" autocomplete="off"></label>'
    hints = "".join(f"<details><summary>{words['hint']}</summary>{escape(hint)}</details>" for hint in exercise.hints)
    check = words["compare" if exercise.kind == "explain" else "check"]
    return (
        f'<form data-kind="{exercise.kind}" data-answer="{escape(json.dumps(exercise.answer))}"><fieldset>'
        f"<pre>{escape(exercise.question)}</pre>{field}{hints}<button>{check}</button><output></output></fieldset></form>"
    )
