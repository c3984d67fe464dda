"""The recipe of a preparation: the example of the docs, and what is refused, with the remedy."""

import tomllib
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.preparation.recipe import Recipe, build_recipe, read_recipe

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


SOURCE = '[[source]]\nname = "a"\npaths = ["x"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no sources: add a table \[\[source\]\]"),
        ("source = 3", r"source=3 is not a list of tables: begin each with \[\[source\]\]"),
        ('[[source]]\npaths = ["x"]', "source 1: name is missing"),
        ('[[source]]\nname = "a"', "source 'a': paths is missing"),
        ('[[source]]\nname = "a"\npaths = []', "source 'a': paths is empty"),
        ('[[source]]\nname = "A b"\npaths = ["x"]', "'A b' is not a name"),
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
            "mixture.schedule: weights name 'b', which is no source: use one of a",
        ),
        ('stage = [{ kind = "hook", name = "x" }, { kind = "hook", name = "x" }]\n' + SOURCE, "two stages are named 'x'"),
        ('stage = [{ kind = "quality", name = "a/b" }]\n' + SOURCE, "stage name 'a/b' is not a name for files"),
        ('stage = [{ kind = "quality", name = "read" }]\n' + SOURCE, "stage name 'read' is not a name for files"),
        ("validation = 1\n" + SOURCE, "validation=1.0 is not a share"),
        ("document_chars = 0\n" + SOURCE, "document_chars=0 is too small"),
        ("vocabsize = 3\n" + SOURCE, "there is no setting 'vocabsize': did you mean 'vocab_size'"),
        (SOURCE + '[executor]\nbackend = "spark"', "executor: backend='spark' is not"),
        (SOURCE + "[executor]\nworkers = -1", "executor.workers=-1 is negative"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(text)
