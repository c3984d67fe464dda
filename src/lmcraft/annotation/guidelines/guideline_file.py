"""Reads guidelines: Markdown with TOML front matter between lines of +++, and the same body in other languages.

A guideline in `harm.md` may have its Chinese text in `harm.zh.md` beside it. A rule is a heading of the second level that
begins with an id, `## H2 Threats and violence`, with all that follows up to the next heading of the first or second level.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import tomli_w

from lmcraft.annotation.guidelines.front_matter import FENCE, Source, Table, split_front_matter
from lmcraft.annotation.guidelines.guideline import (
    KINDS,
    LABEL_OUTCOMES,
    LANGUAGES,
    PREFERENCE_LABELS,
    SUBJECTS,
    Guideline,
    Kind,
    Label,
    Outcome,
    Rule,
    Stratum,
    Subject,
    Texts,
    hash_rule,
)
from lmcraft.errors import UserError, explain_os_error
from lmcraft.text_file import read_text

MAX_CHARACTERS = 400_000  # of a guideline in one language
MAX_REVIEWS = 9  # of an item
MAX_SAMPLE = 100_000  # items of a stratum
KEYS = ("name", "kind", "title", "language", "reviews", "sensitive", "labels", "sampling")
STRATUM_KEYS = ("name", "title", "subject", "size", "labels", "at_least", "at_most", "min_pool", "by", "min_per_group")
_RULE = re.compile(r"##[ \t]+([A-Z]{1,4}[0-9]{1,3}(?:\.[0-9]{1,3})*)(?:[:.：、]?[ \t\u3000]+(.+?))?[ \t]*#*[ \t]*")
_HEADING = re.compile(r"##?[ \t]")
_CODE_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_PREFERENCE_TITLES: Mapping[str, Texts] = {
    "first": {"en": "The first is better", "zh": "第一个更好"},
    "second": {"en": "The second is better", "zh": "第二个更好"},
    "tie": {"en": "Equally good", "zh": "不相上下"},
}


def template_names() -> list[str]:
    """The guidelines that lmcraft brings."""
    names = [file.name for file in (files("lmcraft.annotation.guidelines") / "templates").iterdir()]
    return sorted(name.removesuffix(".md") for name in names if name.endswith(".md") and name.count(".") == 1)


def open_guideline(address: str | Path) -> Guideline:
    """The guideline of a file, or one that lmcraft brings.

    Args:
        address: a Markdown file, or the name of a template.

    Raises:
        UserError: there is no such guideline, or it has a mistake; the message names file and line.
    """
    names, path = template_names(), Path(address)
    if str(address) in names:
        return read_guideline(Path(str(files("lmcraft.annotation.guidelines") / "templates" / f"{address}.md")))
    if not path.name or (not path.exists() and path.suffix != ".md"):
        raise UserError(f"guideline '{address}' does not exist: name a Markdown file, or one of {', '.join(names)}")
    return read_guideline(path)


def read_guideline(path: Path) -> Guideline:
    """The guideline of a Markdown file and of the translations beside it.

    Raises:
        UserError: a file cannot be read, or has a mistake; the message names file and line.
    """
    translated = {language: path.with_suffix(f".{language}.md") for language in LANGUAGES}
    translated = {language: file for language, file in translated.items() if file.exists()}
    texts = {language: _read(file) for language, file in translated.items()}
    names = {language: str(file) for language, file in translated.items()}
    return parse_guideline(_read(path), texts, file=str(path), translated_files=names)


def parse_guideline(
    text: str, translations: Texts | None = None, *, file: str = "guideline", translated_files: Texts | None = None
) -> Guideline:
    """The guideline of a Markdown text with front matter.

    Args:
        text: the main file.
        translations: the body in other languages, without front matter.
        file: name of the main file, for errors.
        translated_files: names of the translations' files, for errors.

    Raises:
        UserError: there is a mistake; the message names file and line.
    """
    settings, body = split_front_matter(_check(Source(file, _unify(text))))
    settings.check_keys(KEYS)
    language = settings.choice("language", LANGUAGES, LANGUAGES[0])
    bodies = {language: body}
    for other, translation in (translations or {}).items():
        source = Source((translated_files or {}).get(other, f"{file} ({other})"), _unify(translation))
        _check_translation(source, other, language)
        bodies[other] = _check(source)
    kind = cast(Kind, settings.choice("kind", KINDS))
    labels = tuple(_preference_labels(settings) if kind == "preference" else _labels(settings))
    return Guideline(
        name=settings.name(),
        kind=kind,
        title=settings.texts("title", LANGUAGES),
        labels=labels,
        rules=_rules(bodies),
        reviews=settings.integer("reviews", 1, MAX_REVIEWS, 2),
        sensitive=settings.value("sensitive", bool, False),
        sampling=_strata(settings, [label.name for label in labels]),
        language=language,
        text={language: source.text.strip() + "\n" for language, source in bodies.items()},
    )


def format_guideline(guideline: Guideline) -> dict[str, str]:
    """The files of a guideline by language, the main one with its settings; `parse_guideline` reads the same guideline."""
    labels = [{"name": label.name, "outcome": label.outcome, "title": dict(label.title)} for label in guideline.labels]
    if guideline.kind == "preference":
        labels = [{name: value for name, value in label.items() if name != "outcome"} for label in labels]
    settings = {
        "name": guideline.name,
        "kind": guideline.kind,
        "title": dict(guideline.title),
        "language": guideline.language,
        "reviews": guideline.reviews,
        "sensitive": guideline.sensitive,
        "labels": labels,
        "sampling": [_stratum_settings(stratum) for stratum in guideline.sampling],
    }
    texts = dict(guideline.text)
    main = texts.pop(guideline.language)
    front = tomli_w.dumps({key: value for key, value in settings.items() if value != []})
    return {guideline.language: f"{FENCE}\n{front}{FENCE}\n\n{main}", **texts}


def _stratum_settings(stratum: Stratum) -> dict[str, Any]:
    values = {f.name: getattr(stratum, f.name) for f in fields(stratum)}
    values |= {"labels": list(stratum.labels), "title": dict(stratum.title), "min_per_group": dict(stratum.min_per_group)}
    return {name: value for name, value in values.items() if value is not None and value != {}}


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: it is not in UTF-8 ({error.reason}): save it as UTF-8") from error
    except OSError as error:
        raise explain_os_error(error) from error


def _unify(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _check(source: Source) -> Source:
    """A text that is short enough, and can be shown."""
    if len(source.text) > MAX_CHARACTERS:
        raise source.error(1, f"the text has {len(source.text):,} characters: use at most {MAX_CHARACTERS:,}")
    if match := _CONTROL.search(source.text):
        line = source.text.count("\n", 0, match.start()) + 1
        raise source.error(line, f"the text has the character U+{ord(match[0]):04X}, which cannot be shown: remove it")
    return source


def _check_translation(source: Source, language: str, main_language: str) -> None:
    if language not in LANGUAGES:
        raise source.error(1, f"language {language!r} is unknown: use {' or '.join(LANGUAGES)}")
    if language == main_language:
        raise source.error(1, f"the main file is in {language!r} already: remove this file, or set the main file's language")
    if source.text.split("\n")[0].rstrip() == FENCE:
        raise source.error(1, "a translation has no settings: move them to the main file")


def _labels(settings: Table) -> list[Label]:
    labels: dict[str, Label] = {}
    for table in settings.tables("labels"):
        table.check_keys(("name", "outcome", "title"))
        name, outcome = table.name(), cast(Outcome, table.choice("outcome", LABEL_OUTCOMES))
        if name in labels:
            raise table.error("name", f"label {name!r} occurs twice: remove one")
        labels[name] = Label(name, outcome, table.texts("title", LANGUAGES))
    for outcome in ("accept", "reject"):
        if not any(label.outcome == outcome for label in labels.values()):
            raise settings.error("labels", f'labels has none with outcome = "{outcome}": add one')
    return list(labels.values())


def _preference_labels(settings: Table) -> Iterator[Label]:
    """The labels of a preference, which are fixed; the settings may give them other titles."""
    titles = dict(_PREFERENCE_TITLES)
    for table in settings.tables("labels"):
        table.check_keys(("name", "title"))
        titles[table.choice("name", PREFERENCE_LABELS)] = table.texts("title", LANGUAGES)
    for name in PREFERENCE_LABELS:
        yield Label(name, name, titles[name])


def _strata(settings: Table, labels: Sequence[str]) -> tuple[Stratum, ...]:
    strata: dict[str, Stratum] = {}
    for table in settings.tables("sampling"):
        table.check_keys(STRATUM_KEYS)
        name, counted = table.name(), table.value("labels", tuple[str, ...])
        if name in strata:
            raise table.error("name", f"sampling {name!r} occurs twice: remove one")
        if unknown := [label for label in counted if label not in labels]:
            raise table.error("labels", f"label {unknown[0]!r} does not exist: use {', '.join(labels)}")
        at_least, at_most = table.share("at_least"), table.share("at_most")
        if (at_least is None) == (at_most is None):
            raise table.error("at_least", f"sampling {name!r} needs one bar: set at_least or at_most")
        strata[name] = Stratum(
            name=name,
            title=table.texts("title", LANGUAGES),
            subject=cast(Subject, table.choice("subject", SUBJECTS, "answer")),
            size=table.integer("size", 1, MAX_SAMPLE),
            labels=counted,
            at_least=at_least,
            at_most=at_most,
            min_pool=table.integer("min_pool", 0, 10**12, 0),
            by=table.value("by", str, ""),
            min_per_group=table.value("min_per_group", dict[str, int], {}),
        )
    return tuple(strata.values())


def _rules(bodies: Mapping[str, Source]) -> tuple[Rule, ...]:
    """The rules of a guideline, which are the same in all languages; the order is that of the first."""
    sections = {language: _sections(source) for language, source in bodies.items()}
    main_language, *others = sections
    main = sections[main_language]
    for other in others:
        source = bodies[other]
        for rule_id, (line, _, _) in sections[other].items():
            if rule_id not in main:
                raise source.error(
                    line, f"rule {rule_id} is not in {bodies[main_language].file}: add it there, or remove it"
                )
        for rule_id in main:
            if rule_id not in sections[other]:
                raise source.error(source.first_line, f"rule {rule_id} is missing: add `## {rule_id}` with its text")
    return tuple(
        Rule(
            id=rule_id,
            title={language: rules[rule_id][1] for language, rules in sections.items()},
            text={language: rules[rule_id][2] for language, rules in sections.items()},
            sha256={language: hash_rule(*rules[rule_id][1:]) for language, rules in sections.items()},
        )
        for rule_id in main
    )


def _sections(source: Source) -> dict[str, tuple[int, str, str]]:
    """The rules of a text by id: line, title and text."""
    sections: dict[str, tuple[int, str, list[str]]] = {}
    rule_id, fence = "", ""
    for number, line in enumerate(source.text.split("\n"), start=source.first_line):
        mark = _CODE_FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        if not fence and _HEADING.match(line):
            heading = _RULE.fullmatch(line)
            rule_id = heading[1] if heading else ""
            if heading is None:
                continue
            if not heading[2]:
                raise source.error(number, f"rule {rule_id} has no title: write `## {rule_id} Title`")
            if rule_id in sections:
                raise source.error(number, f"rule {rule_id} occurs twice (line {sections[rule_id][0]}): give one another id")
            sections[rule_id] = (number, heading[2], [])
        elif rule_id:
            sections[rule_id][2].append(line.rstrip())
    if not sections:
        raise source.error(source.first_line, "there is no rule: write headings such as `## H1 Threats`")
    for rule_id, (number, _, lines) in sections.items():
        if not any(lines):
            raise source.error(number, f"rule {rule_id} has no text: write what it asks for below the heading")
    return {rule_id: (number, title, "\n".join(lines).strip()) for rule_id, (number, title, lines) in sections.items()}
