"""Languages are named, and documents in none of a source's languages go."""

from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.preparation.contracts import DocumentId, Record
from lmcraft.preparation.stages.language import Language

TEXTS = {
    "en": "The letter that was sent to the office has been read by all of the people who were there with us.",
    "de": "Der Brief, der gestern an das Amt geschickt wurde, ist von allen gelesen worden, die dort gewesen sind.",
    "fr": "La lettre qui a été envoyée au bureau a été lue par toutes les personnes qui se trouvaient là hier.",
    "ru": "Письмо, которое вчера отправили в контору, прочитали все люди, которые там тогда находились.",
    "zh": "昨天寄到办公室的那封信，在场的人都已经读过了，他们说写得很好。",
    "ja": "昨日事務所に送られた手紙は、そこにいた人たち全員に読まれました。とても良い手紙でした。",
    "ko": "어제 사무실로 보낸 편지는 그곳에 있던 모든 사람들이 읽었습니다. 아주 좋은 편지였습니다.",
}


def judge(text: str, languages: tuple[str, ...] = (), kind: str = "prose", **settings: Any) -> tuple[str, str]:
    record = Record(DocumentId(0, 0, 0), text, "a", 1, notes={"kind": kind, "languages": list(languages)})
    verdict = Language(**settings).judge(record)
    return verdict.reason, record.language


@pytest.mark.parametrize("language", TEXTS)
def test_languages(language: str) -> None:
    assert judge(TEXTS[language] * 3) == ("", language)
    assert judge(TEXTS[language] * 3, ("en", "zh"))[0] == ("" if language in ("en", "zh") else "language")


@pytest.mark.parametrize(
    ("language", "found_by_script"), [("zh", "zh"), ("ja", "ja"), ("ko", "ko"), ("en", "en"), ("ru", "unknown")]
)
def test_scripts_alone(language: str, found_by_script: str) -> None:
    assert judge(TEXTS[language], model="scripts") == ("", found_by_script)


def test_classical_and_traditional_chinese() -> None:
    assert judge("臣亮言：先帝創業未半，而中道崩殂；今天下三分，益州疲敝，此誠危急存亡之秋也。") == ("", "zh")


def test_short_texts_have_the_language_of_their_source() -> None:
    assert judge("12:30", ("zh",)) == ("", "zh")
    assert judge("12:30", ("zh", "en")) == ("", "unknown")


def test_uncertain_pages_go_and_uncertain_prose_stays() -> None:
    text = "kernel/sched foo_bar ipv6 ACPI qux PCI-X lorem xyzzy grok " * 3
    assert judge(text, ("en",), "web")[0] == "uncertain_language"
    assert judge(text, ("en",), "reference") == ("", "en")


def test_code_is_not_asked() -> None:
    assert judge(TEXTS["de"], ("en",), "code")[0] == ""


def test_impossible_score() -> None:
    with pytest.raises(UserError, match="min_score=2"):
        Language(min_score=2)
