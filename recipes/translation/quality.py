"""Figures: chrF and BLEU of model, dictionary and memory; placeholders kept; terms translated as in the training pairs."""

import re
from collections import Counter
from collections.abc import Sequence

from pairs import Pair
from similarity import PLACEHOLDER
from translator import Translator

from lmcraft.evaluation.methods.translation import Translation, judge_translation
from lmcraft.evaluation.results import ItemResult, Measure, compare_results, compute_metric
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.proportions import clustered_proportion
from recipes.work import Figure

NUMBER = re.compile(r"\d+\$")
MIN_TERM_PAIRS, MIN_TERM_SHARE, MIN_TERM_CHARACTERS = 8, 0.8, 2
RECIPE, MODEL, DICTIONARY = "this recipe", "model alone", "dictionary"
CANDIDATE, MEMORY = "dictionary, best score", "most similar training phrase"


def figures(test: Sequence[Pair], translator: Translator, weights: Sequence[float], language: str) -> list[Figure]:
    """The figures of the test pairs; the intervals are of groups of near-duplicates, which are not independent."""
    sources, groups = [pair.source for pair in test], [pair.group for pair in test]
    choices = translator.choices(sources)
    answers = {
        RECIPE: [choice.candidates[choice.best(weights)].text for choice in choices],
        MODEL: translator.generate(sources),
        DICTIONARY: [translator.dictionary.translate(source) for source in sources],
        CANDIDATE: [choice.candidates[0].text for choice in choices],
        MEMORY: [texts[0] for texts in translator.similar(sources)],
    }
    judged = {
        name: [
            judge_translation(text, [pair.target], language, item=number, cluster=str(pair.group))
            for number, (text, pair) in enumerate(zip(texts, test, strict=True))
        ]
        for name, texts in answers.items()
    }
    rows = [
        corpus_figure(measure, judged, baseline)
        for measure in Translation.measures
        if measure.of_sums
        for baseline in (DICTIONARY, CANDIDATE, MEMORY, MODEL)
    ]
    shares = {
        "placeholders kept": {name: keeps_placeholders(sources, texts) for name, texts in answers.items()},
        "terms translated as in the training pairs": terms_kept(translator, test, answers),
    }
    for measure, outcomes in shares.items():
        result, baseline = (share(outcomes[name], groups) for name in (RECIPE, DICTIONARY))
        if result.value == result.value:
            rows.append(Figure(measure, DICTIONARY, baseline.value, result.value, interval(result)))
    show_examples(test, answers)
    return rows


def corpus_figure(measure: Measure, judged: dict[str, list[ItemResult]], baseline: str) -> Figure:
    comparison = compare_results(measure, judged[baseline], judged[RECIPE])
    if comparison is not None:
        print(f"{measure.name}, gain over {baseline}: {comparison.gain}, p = {comparison.p_value}")
    result = compute_metric(measure, judged[RECIPE])
    return Figure(measure.name, baseline, compute_metric(measure, judged[baseline]).value, result.value, interval(result))


def interval(metric: Metric) -> tuple[float, float] | None:
    return None if metric.low is None or metric.high is None else (metric.low, metric.high)


def share(outcomes: Sequence[bool | None], groups: Sequence[int]) -> Metric:
    """Of the items to which a measure applies (not None)."""
    counted = [(outcome, group) for outcome, group in zip(outcomes, groups, strict=True) if outcome is not None]
    return clustered_proportion([outcome for outcome, _ in counted], [group for _, group in counted])


def keeps_placeholders(sources: Sequence[str], texts: Sequence[str]) -> list[bool | None]:
    """Whether each text has the placeholders of its source, in any order; None without any."""
    return [
        placeholders(source) == placeholders(text) if placeholders(source) else None
        for source, text in zip(sources, texts, strict=True)
    ]


def placeholders(text: str) -> Counter[str]:
    """How often each placeholder occurs; `%2$s` is `%s`, and `<file>` may be translated."""
    names = (NUMBER.sub("", match[0]) for match in PLACEHOLDER.finditer(text))
    return Counter("<>" if name.startswith("<") else name for name in names)


def terms_kept(
    translator: Translator, tested: Sequence[Pair], answers: dict[str, list[str]]
) -> dict[str, list[bool | None]]:
    """Whether the texts have the usual translations of their phrases' terms; None if the reference has none of these."""
    terms = find_terms(translator)
    expected = [[term for term in terms_of(pair.source, terms) if term in pair.target] for pair in tested]
    return {
        name: [
            all(term in text for term in wanted) if wanted else None for text, wanted in zip(texts, expected, strict=True)
        ]
        for name, texts in answers.items()
    }


def find_terms(translator: Translator) -> dict[str, str]:
    """The words that nearly all of their training pairs translate alike."""
    training = translator.training
    words = [set(word_list(pair.source)) for pair in training]
    counts = Counter(word for row in words for word in row)
    terms = {}
    for run, translations in translator.dictionary.entries.items():
        word, text = run[0], "".join(translations[0][1])
        if len(run) == 1 and counts[word] >= MIN_TERM_PAIRS and len(text) >= MIN_TERM_CHARACTERS and word.isalpha():
            both = sum(text in pair.target for pair, row in zip(training, words, strict=True) if word in row)
            if both >= MIN_TERM_SHARE * counts[word]:
                terms[word] = text
    return terms


def terms_of(source: str, terms: dict[str, str]) -> list[str]:
    return [terms[word] for word in dict.fromkeys(word_list(source)) if word in terms]


def word_list(source: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", PLACEHOLDER.sub(" ", source).lower())


def show_examples(tested: Sequence[Pair], answers: dict[str, list[str]]) -> None:
    for number, pair in list(enumerate(tested))[:: max(1, len(tested) // 12)]:
        print(f"\n{pair.source}\n  reference:  {pair.target}")
        for name, texts in answers.items():
            print(f"  {name + ':':11} {texts[number]}")
