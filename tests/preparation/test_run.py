"""A recipe from the command line to a dataset folder."""

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

from lmcraft import prepare
from lmcraft.cli import main
from lmcraft.data.loader import TokenSplit
from lmcraft.json_lines import parse_json
from lmcraft.preparation.run import describe_skipped
from lmcraft.tokenizer import Tokenizer
from tests.preparation.ships import write_ships

STAGES = '{ kind = "exact-duplicates" }, { kind = "near-duplicates" }'


def write_corpus(folder: Path) -> Path:
    return write_ships(folder, 60, STAGES, "weight = 2.0")


def test_a_recipe_becomes_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = prepare(str(write_corpus(tmp_path)), out=tmp_path / "out")
    assert re.search(r"time of all workers: [\d.]+ s; .*pass-0 [\d.]+ s", capsys.readouterr().out)
    manifest = dataset.manifest()
    assert [part["source"] for part in manifest["parts"]] == ["ships"]
    assert manifest["mixture"]["weights"] == {"ships": 2.0}
    assert sum(split["documents"] for split in manifest["splits"].values()) == 60
    rows = [parse_json(line) for line in gzip.decompress((dataset.path / "duplicates.jsonl.gz").read_bytes()).splitlines()]
    removed = {stage["name"]: stage["total"]["removed"]["documents"] for stage in manifest["stages"]}
    assert Counter(row["stage"] for row in rows) == Counter(removed) == {"exact-duplicates": 2, "near-duplicates": 0}
    assert "near-duplicates" not in {name for name, entry in manifest["duplicates"].items() if entry["sources"]}
    texts = Tokenizer.load(dataset.path).decode(TokenSplit(dataset, "train").slice(0, 200))
    assert "ships that left harbor" in texts
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "recipe.toml", "rows.jsonl"]


def test_settings_of_a_recipe_are_not_flags(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vocab_size=500 is set in the recipe: change it in "):
        prepare(str(write_corpus(tmp_path)), out=tmp_path / "out", vocab_size=500)


def test_flags_of_recipes_need_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ValueError, match="--workers is for recipes: write one for these sources with --write-recipe"):
        prepare(str(tmp_path / "a.txt"), out=tmp_path / "out", workers=2)


def test_a_written_recipe_can_be_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path)
    prepare(str(tmp_path / "rows.jsonl"), out=tmp_path / "out", write_recipe=tmp_path / "new.toml")
    recipe = (tmp_path / "new.toml").read_text()
    assert 'name = "rows-jsonl"' in recipe and 'kind = "quality"' in recipe
    with pytest.raises(ValueError, match="already exists: choose another file"):
        prepare(str(tmp_path / "rows.jsonl"), out=tmp_path / "out", write_recipe=tmp_path / "new.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("vocab_size = 300", 'tokenizer = "nowhere"'), "there is no tokenizer at 'nowhere'"),
        (("near-duplicates", "near-duplicate"), "there is no kind 'near-duplicate': did you mean 'near-duplicates'"),
        (("rows.jsonl", "rows.csv"), "rows.csv' does not exist"),
    ],
)
def test_an_error_leaves_nothing_behind(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    recipe = write_corpus(tmp_path)
    recipe.write_text(recipe.read_text().replace(*change))
    with pytest.raises(ValueError, match=message):
        prepare(str(recipe), out=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.toml", "rows.jsonl"]


def empty(text: str) -> str:
    return ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("weight = 2.0", 'text_field = "body"'),
            r"62 rows could not be used \(no field 'body': 62; such as .*rows.jsonl:\d+\); set text_field of the source",
        ),
        (
            (STAGES, f'{{ kind = "hook", function = "{__name__}:empty" }}'),
            r"stage 'hook' removed 62 of 62 documents \(nothing-left: 62\); loosen stage 'hook', or leave it out",
        ),
        (
            (STAGES, '{ kind = "exact-duplicates" }, { kind = "quality" }'),
            r"removed 2 of 62 .*, stage 'quality' removed 60 of 60 .*loosen stage 'quality', or leave it out$",
        ),
    ],
)
def test_a_dataset_without_documents_says_why(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    recipe = write_corpus(tmp_path)
    recipe.write_text(recipe.read_text().replace(*change))
    with pytest.raises(ValueError, match=f"^no document is left to make a dataset of: .*{message}"):
        prepare(str(recipe), out=tmp_path / "out", workers=1)


def test_files_left_out_are_summed_up() -> None:
    skipped = [{"file": f"{name}.txt", "reason": "empty"} for name in "abc"]
    skipped += [{"file": f"{name}.bin", "reason": "binary"} for name in "de"] + [{"file": "f.gz", "reason": "damaged"}]
    assert list(describe_skipped(skipped)) == [
        "skipped: a.txt and 2 more files: empty",
        "skipped: d.bin and 1 more file: binary",
        "skipped: f.gz: damaged",
    ]


def test_a_work_folder_of_the_user_keeps_what_it_holds(tmp_path: Path) -> None:
    recipe = write_corpus(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    prepare(str(recipe), out=tmp_path / "out", work=tmp_path / "mine", fresh=True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("backend", ["processes", "slurm"])
@pytest.mark.parametrize("work", ["out", "out/work", "other/../out/a/b"])
def test_unfinished_work_lies_outside_the_dataset(work: str, backend: str, tmp_path: Path) -> None:
    recipe = write_corpus(tmp_path)
    with pytest.raises(ValueError, match=r"work='.*out.*' is the folder of --out, or lies in it: choose a folder outside "):
        prepare(str(recipe), out=tmp_path / "out", work=tmp_path / work, backend=backend)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.toml", "rows.jsonl"]


def test_a_recipe_is_not_read_as_text(tmp_path: Path) -> None:
    recipe, text = write_corpus(tmp_path), tmp_path / "a.txt"
    text.write_text("text")
    with pytest.raises(ValueError, match=r"recipe.toml' is a recipe, which names its sources itself"):
        prepare((str(text), str(recipe)), out=tmp_path / "out")
    (tmp_path / "Cargo.toml").write_text("[package]\nname = 'x'\n")
    prepare((str(text), str(tmp_path / "Cargo.toml")), out=tmp_path / "out", vocab_size=258)


@pytest.mark.parametrize("contents", ["", "vocab_size = 300\n"])
def test_a_recipe_without_sources_says_what_it_needs(
    contents: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.toml").write_text(contents)
    assert main(["prepare", str(tmp_path / "empty.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "empty.toml' has no sources: add a table [[source]] with name and paths" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("step", "units", "message"),
    [
        ("nonsense", "0::1", "step='nonsense' is not a step of this preparation: use one of survey, unpack"),
        ("survey", "3", "units='3' is not a share of the units"),
        ("survey", "0::1", "source 'none.jsonl' does not exist"),
    ],
)
def test_an_impossible_element_leaves_nothing(tmp_path: Path, step: str, units: str, message: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[[source]]\nname = "a"\npaths = ["none.jsonl"]\n')
    with pytest.raises(ValueError, match=message):
        prepare(str(recipe), out=tmp_path / "out", step=step, units=units)
    assert list(tmp_path.iterdir()) == [recipe]


def test_the_line_about_the_script_for_slurm_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = write_corpus(tmp_path)
    prepare(str(recipe), out=tmp_path / "sl urm $x", backend="slurm")
    assert capsys.readouterr().out.endswith(f"run bash '{tmp_path}/sl urm $x.slurm.sh'\n")
