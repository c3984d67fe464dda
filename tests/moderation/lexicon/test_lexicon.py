"""The tier of lists: what counts, what is protected, and what stands apart."""

from pathlib import Path

import pytest

from lmcraft.moderation import Moderator, read_policy
from lmcraft.moderation.lexicon import Lexicon, Term, read_list
from lmcraft.moderation.lexicon.lexicon import MAX_FINDINGS
from lmcraft.moderation.lexicon.word_list import OWN_LISTS
from lmcraft.moderation.normalization import normalize

POLICY = 'name = "p"\n[tiers]\nlexicons = ["identity", "reclaimed"]\n[categories.hate]\nanswer = "refuse"\n'


def term(text: str, severity: int = 2, kind: str = "harmful", category: str = "profanity") -> Term:
    return Term(text, category, severity if kind == "harmful" else 0, kind, "test")  # type: ignore[arg-type]


def words_in(text: str, *terms: Term) -> list[tuple[str, str]]:
    """Each term in a text, and the passage."""
    return [(match.term.text, text[match.start : match.end]) for match in Lexicon(terms).find_terms(normalize(text))]


@pytest.fixture(scope="module")
def own() -> Lexicon:
    return Lexicon(term for name in OWN_LISTS for term in read_list(name, Path()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A RAT!", ["RAT"]),
        ("rats, grate, rat_race, rat's", ["rat", "rat"]),
        ("dirty—rat, a dirty rats", ["rat"]),
        ("a dirty  \n rat", ["dirty  \n rat"]),
        ("dirty-rat", ["dirty-rat"]),
        ("dirty, rat", ["rat"]),
        ("rat鼠", ["rat", "鼠"]),
        ("老鼠过街", ["鼠"]),
        ("", []),
        ("\ud800rat\udfff", ["rat"]),
        ("ＲＡＴ", ["ＲＡＴ"]),
    ],
)
def test_words_match_whole_and_chinese_anywhere(text: str, expected: list[str]) -> None:
    assert [passage for _, passage in words_in(text, term("rat"), term("dirty rat"), term("鼠"))] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rat", ["rat"]),
        ("rat-a-tat", []),
        ("rat rat-a-tat", ["rat"]),
        ("出口交易", []),
        ("口交", ["口交"]),
        ("出口", []),
        ("从出口交给你", []),
        ("口交易", []),
    ],
)
def test_terms_in_allowed_words_or_that_cut_them_do_not_count(text: str, expected: list[str]) -> None:
    allowed = [term(word, kind="allowed") for word in ("rat-a-tat", "出口", "交易")]
    assert [passage for _, passage in words_in(text, term("rat"), term("口交"), *allowed)] == expected


def test_a_word_that_one_list_allows_is_allowed() -> None:
    assert words_in("rat", term("rat"), term("RAT", kind="allowed")) == []


def test_longer_terms_cover_milder_ones_inside() -> None:
    terms = term("dirty rat", 2), term("rat", 2), term("dirty", 3), term("rat on", 1)
    assert words_in("a dirty rat on", *terms) == [("dirty rat", "dirty rat"), ("dirty", "dirty"), ("rat on", "rat on")]


def test_of_duplicates_the_highest_severity_of_each_category_counts() -> None:
    terms = term("rat", 1), term("rat", 3), term("Rat", 2, category="hate"), term("rat", 1)
    findings = Lexicon(terms).judge(normalize("rat"), "answer", "")
    assert sorted((finding.category, finding.score) for finding in findings) == [("hate", 0.7), ("profanity", 0.95)]


def test_findings_name_term_severity_and_list() -> None:
    [finding] = Lexicon([term("dirty rat", 3)]).judge(normalize("You Dirty Rat."), "answer", "")
    assert finding.reason == "the phrase 'dirty rat' (severity 3, list test)"
    assert (finding.start, finding.end, finding.score) == (4, 13, 0.95)


def test_repetitions_are_one_passage_and_findings_are_bounded() -> None:
    lexicon = Lexicon([term("rat"), term("cat", 1)])
    [finding] = lexicon.judge(normalize("rat " * 100_000), "answer", "")
    assert (finding.start, finding.end) == (0, 399_999)
    findings = lexicon.judge(normalize("cat, rat, " * 1000), "answer", "")
    assert len(findings) == MAX_FINDINGS + 1
    assert findings[-1].reason == f"{2000 - MAX_FINDINGS:,} more passages with such words"
    assert not findings[-1].has_passage and findings[-1].score == 0.7


def test_names_of_groups_and_reclaimed_words_never_count(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(POLICY)
    decision = Moderator.open(read_policy(tmp_path / "p.toml")).judge("A gay man and a queer activist", "answer")
    assert str(decision.action) == "allow" and decision.scores == {"hate": 0.0}
    assert {finding.reason for finding in decision.findings} == {
        "the identity term 'gay' (never counts, list identity)",
        "the reclaimed term 'queer' (never counts, list reclaimed)",
    }


CLEAN = [
    "Scunthorpe and Penistone are towns; Clitheroe and Lightwater, too.",
    "The cock crowed: Cock-a-doodle-doo!",
    "Pass the class assessment, assassin, and grass the bass.",
    "He shot a pheasant, a dickcissel and a blue tit with a cocktail in hand.",
    "kill -9 the process; a flame retardant; spic and span; niggardly; snigger",
    "Dick van Dyke read Moby-Dick to Professor Hancock in Essex.",
    "射击比赛在出口交易中心举行，女性交流协会水乳交融。",
    "曹操你好，体操你练了吗？我操心，今日你来，生日你妈妈也来。",
    "他叫做爱国的人，把几把椅子发射精准地扔进国内射箭场。",
    "杂种优势使水稻增产；智障人士应得尊重；印度支那战争。",
    "手足交谈，不足交税，人群交叉，支援交通。",
]


@pytest.mark.parametrize("text", CLEAN)
def test_clean_text_raises_no_alarm(own: Lexicon, text: str) -> None:
    findings = own.judge(normalize(text), "answer", "")
    assert [finding.reason for finding in findings if finding.score >= 0.7] == []


def test_own_lists_agree() -> None:
    terms = [term for name in OWN_LISTS for term in read_list(name, Path())]
    apart = {term.text.casefold() for term in terms if term.kind in ("identity", "reclaimed")}
    harmful = {term.text.casefold(): term for term in terms if term.kind == "harmful"}
    assert sorted(apart & harmful.keys()) == []
    for name in ("en", "zh"):
        assert sum(term.source == name and term.kind == "harmful" for term in terms) > 1000


def test_the_fingerprint_depends_on_the_words() -> None:
    one, same, other = Lexicon([term("a1"), term("b1")]), Lexicon([term("b1"), term("a1")]), Lexicon([term("a1")])
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
