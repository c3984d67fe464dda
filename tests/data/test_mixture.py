"""Shares follow from weights, epochs, temperature and schedule, and a run reads rows in these shares."""

from typing import Any

import pytest

from lmcraft.data.mixture import Mixture, MixtureConfig, MixtureStage, Part
from lmcraft.errors import UserError
from lmcraft.setting_values import convert_value

LENGTH = 10


def parts(*sizes: tuple[str, str, int, int]) -> list[Part]:
    return [Part(source, language, copies, tokens) for source, language, copies, tokens in sizes]


WEB_BOOKS = parts(("web", "en", 1, 900), ("books", "en", 1, 100))


def shares(mixture: Mixture, row: float = 0, rows: int = 1000) -> list[float]:
    return [round(share, 6) for share in mixture.course(rows, LENGTH).shares(row).tolist()]


def test_without_weights_every_token_counts_the_same() -> None:
    assert shares(Mixture(WEB_BOOKS)) == [0.9, 0.1]


def test_weights_are_shares() -> None:
    assert shares(Mixture(WEB_BOOKS, weights={"web": 1.0, "books": 3.0})) == [0.25, 0.75]


def test_a_source_without_a_weight_counts_by_its_tokens_and_on_average_one() -> None:
    sizes = parts(("a", "en", 1, 300), ("b", "en", 1, 100), ("c", "en", 1, 7))
    assert shares(Mixture(sizes, weights={"c": 2.0})) == [0.375, 0.125, 0.5]


def test_copies_count_as_text() -> None:
    sizes = parts(("web", "en", 1, 100), ("web", "en", 3, 100))
    assert shares(Mixture(sizes)) == [0.25, 0.75]
    assert shares(Mixture([*sizes, Part("books", "en", 1, 5)], weights={"web": 4, "books": 1})) == [0.2, 0.6, 0.2]


def test_epochs_are_a_share_of_the_run_and_the_others_have_the_remainder() -> None:
    mixture = Mixture(WEB_BOOKS, epochs={"books": 2.0})
    assert shares(mixture, rows=100) == [0.8, 0.2]
    uses = {use.source: use for use in mixture.uses(100, LENGTH)}
    assert uses["books"].epochs == pytest.approx(2) and uses["web"].tokens_read == pytest.approx(800)
    assert mixture.warnings(100, LENGTH) == []


@pytest.mark.parametrize(("temperature", "english"), [(1.0, 0.9), (2.0, 0.75), (1e9, 0.5)])
def test_temperature_flattens_languages_and_keeps_the_proportions_inside_them(temperature: float, english: float) -> None:
    sizes = parts(("web", "en", 1, 600), ("books", "en", 1, 300), ("web", "zh", 1, 100))
    result = shares(Mixture(sizes, MixtureConfig(temperature=temperature)))
    assert result == [
        pytest.approx(english * 2 / 3, abs=1e-5),
        pytest.approx(english / 3, abs=1e-5),
        pytest.approx(1 - english, abs=1e-5),
    ]


SCHEDULE = (
    MixtureStage(until=0.5, weights={"web": 1.0, "books": 0.0}),
    MixtureStage(until=1.0, ramp=0.2, weights={"web": 0.0, "books": 1.0}),
)


def test_a_schedule_changes_the_weights_and_a_ramp_does_so_linearly() -> None:
    mixture = Mixture(WEB_BOOKS, MixtureConfig(schedule=SCHEDULE), weights={"web": 5.0}, epochs={"books": 1.0})
    books = [shares(mixture, row)[1] for row in (0, 499, 500, 550, 600, 700, 999, 5000)]
    assert books == [0, 0, 0, 0.25, 0.5, 1, 1, 1]
    assert mixture.course(1000, LENGTH).rows_before(1000).tolist() == pytest.approx([600, 400])


def test_a_weight_of_the_run_replaces_all_that_the_dataset_says_about_a_source() -> None:
    config = MixtureConfig(schedule=SCHEDULE)
    mixture = Mixture(WEB_BOOKS, config, {"web": 5.0}, {"books": 1.0}, overrides={"web": 1.0, "books": 1.0})
    assert {tuple(shares(mixture, row)) for row in (0, 499, 600, 999)} == {(0.5, 0.5)}


def test_a_proxy_has_the_repetition_of_the_run_that_it_stands_for() -> None:
    mixture = Mixture(WEB_BOOKS, weights={"web": 1, "books": 1}, target_tokens=20_000)
    proxy = mixture.uses(100, LENGTH)
    assert [use.epochs for use in proxy] == pytest.approx(
        [use.epochs for use in Mixture(WEB_BOOKS, weights={"web": 1, "books": 1}).uses(2000, LENGTH)]
    )
    with pytest.raises(UserError, match="mixture_target_tokens=20000 is less than the 30,000 tokens of the run"):
        mixture.part_share(30_000)


def test_a_run_that_outlasts_its_text_says_so() -> None:
    both = Mixture(WEB_BOOKS, epochs={"web": 1.0, "books": 2.0})
    assert shares(both, rows=100) == [pytest.approx(9 / 11, abs=1e-6), pytest.approx(2 / 11, abs=1e-6)]
    assert both.warnings(110, LENGTH) == []
    assert both.warnings(220, LENGTH) == [
        "the run is longer than the text of all sources lasts: it reads web 2 times, not 1, books 4 times, not 2"
    ]
    weighted = Mixture(WEB_BOOKS, weights={"web": 1, "books": 1})
    assert weighted.warnings(80, LENGTH) == []
    [sentence] = weighted.warnings(100, LENGTH)
    assert sentence.startswith("the run is longer than the text of some sources lasts: it reads books 5 times; beyond 4")


def test_a_run_too_short_for_the_epochs_of_a_source_is_an_error() -> None:
    mixture = Mixture(WEB_BOOKS, epochs={"web": 2.0})
    with pytest.raises(
        UserError, match=r"epochs=2 of source 'web' leaves nothing for the others: .* 1,800 tokens, and .* 1,000"
    ):
        mixture.check_length(100, LENGTH)
    mixture.check_length(180, LENGTH)
    Mixture(WEB_BOOKS, epochs={"web": 2.0}, target_tokens=1800).check_length(100, LENGTH)
    Mixture(WEB_BOOKS, epochs={"web": 2.0}, overrides={"web": 1.0}).check_length(100, LENGTH)


def manifest(**mixture: Any) -> dict[str, Any]:
    listed = [
        {
            "name": f"{part.source}",
            "source": part.source,
            "language": part.language,
            "copies": 1,
            "train": {"tokens": part.tokens},
        }
        for part in WEB_BOOKS
    ]
    return {"parts": listed, "mixture": mixture}


def test_a_manifest_is_read() -> None:
    recorded = manifest(
        weights={"web": 1.0},
        epochs={"books": 1},
        temperature=2,
        copies={"2": 2},
        schedule=[{"until": 1, "weights": {"books": 3}}],
    )
    mixture = Mixture.read(recorded)
    assert mixture == Mixture(
        WEB_BOOKS,
        MixtureConfig(temperature=2, copies={"2": 2}, schedule=(MixtureStage(weights={"books": 3}),)),
        {"web": 1.0},
        {"books": 1},
    )
    assert Mixture.read({"parts": []}).sources == []


def test_copies_are_switched_off_without_preparing_again() -> None:
    recorded = manifest()
    recorded["parts"][1]["copies"] = 9
    assert shares(Mixture.read(recorded)) == [0.5, 0.5]
    assert shares(Mixture.read(recorded, copies=False)) == [0.9, 0.1]


def test_parts_without_training_text_are_left_out() -> None:
    recorded = manifest()
    del recorded["parts"][0]["train"]
    assert Mixture.read(recorded).sources == ["books"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"bokks": 1.0}, "mixture.bokks=1 is for no source of the dataset that has text: use books"),
        ({"web": -1.0}, "mixture.web=-1 is not a weight: give a number from 0 on"),
    ],
)
def test_bad_weights_of_a_run_are_errors(overrides: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Mixture.read(manifest(), overrides)


def test_weights_of_any_size_have_shares() -> None:
    assert shares(Mixture(WEB_BOOKS, overrides={"web": 1e308, "books": 1e308})) == [0.5, 0.5]
    assert shares(Mixture(WEB_BOOKS, overrides={"web": 1e-300, "books": 3e-300})) == [0.25, 0.75]


def test_a_damaged_manifest_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"manifest\.json: mixture=\{'temperatur': 2\} is not a dict with these settings"):
        Mixture.read(manifest(temperatur=2))


def test_weights_that_leave_nothing_are_an_error() -> None:
    with pytest.raises(UserError, match="the shares of web, books are all 0 at some time"):
        Mixture(WEB_BOOKS, overrides={"web": 0.0, "books": 0.0}).course(100, LENGTH)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "temperature=0 of the mixture"),
        ({"temperature": "high"}, "mixture.temperature='high' is not a finite number"),
        ({"copies": {"few": 1}}, "copies.few of the mixture is not a size"),
        ({"copies": {"2": 0}}, "copies.2=0 of the mixture"),
        ({"copies": 3}, "mixture.copies=3 is not a table"),
        ({"schedule": [{"until": 0.5}]}, "until=0.5 of the last stage"),
        ({"schedule": [{"until": 1.5}]}, "until=1.5 of a stage"),
        ({"schedule": [{"until": 0.5}, {"until": 0.5}]}, "until=0.5 of a stage of the mixture is not after 0.5"),
        ({"schedule": [{"ramp": 0.1}]}, "ramp=0.1 of the first stage"),
        ({"schedule": [{"until": 0.9}, {"ramp": 0.2}]}, "ramp=0.2 is longer than its stage"),
        ({"schedule": [{"weights": {"web": -1}}]}, "weights.web=-1 is not a weight"),
    ],
)
def test_bad_settings_are_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        convert_value(MixtureConfig, settings, "mixture")


def test_copies_hold_from_a_cluster_size_on() -> None:
    config = MixtureConfig(copies={"2": 2, "3": 3, "100": 8, "1000": 1})
    assert [config.copies_of(size) for size in (1, 2, 3, 99, 100, 5000)] == [1, 2, 3, 3, 8, 1]
    assert MixtureConfig().copies_of(7) == 1
