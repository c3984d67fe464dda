"""A dry run reads a sample of every source, tells what the whole takes, and leaves only its page."""

from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from lmcraft import PrepareConfig, prepare
from lmcraft.errors import UserError
from lmcraft.json_lines import format_json_line
from lmcraft.preparation.contracts import InputFile, Unit
from lmcraft.preparation.dry_run import choose_units, dry_run, sample_files
from lmcraft.preparation.recipe import read_recipe


def make_file(source: int, number: int, size: int) -> InputFile:
    return InputFile(source, number, f"{number}.txt", "text", "", size, "00")


def make_unit(number: int, *sources: int) -> Unit:
    files = [{"source": source} for source in sources]
    return Unit("pass-0", number, "f", {"files": files, "number": number}, size=100)


def test_a_sample_has_files_of_every_source() -> None:
    files = [make_file(number % 3, number, 1000) for number in range(30)]
    chosen = sample_files(files, 2500)
    assert [[file.source for file in chosen].count(source) for source in range(3)] == [3, 3, 3]
    assert chosen == sorted(chosen, key=lambda file: file.number)
    assert sample_files(files, 10**9) == files
    assert len(sample_files(files, 1)) == 3


def test_a_sample_has_units_of_every_source() -> None:
    units = [make_unit(number, number // 8) for number in range(16)]
    chosen = choose_units(units, 500)
    assert len(chosen) == 5
    assert {unit.number // 8 for unit in chosen} == {0, 1}
    assert chosen == choose_units(units[::-1], 500)[::-1]
    assert {unit.number for unit in choose_units(units, 300)} < {unit.number for unit in chosen}
    assert choose_units(units, 10**9) == units
    assert len(choose_units(units, 1)) == 2


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rows = [{"text": f"Document {number} tells of number {number * 7} and of {number**3}. " * 20} for number in range(2000)]
    (tmp_path / "rows.jsonl").write_text("".join(map(format_json_line, rows)))
    (tmp_path / "note.txt").write_text("A note. " * 100)
    table = {
        "vocab_size": 300,
        "stage": [{"kind": "exact-duplicates"}],
        "source": [
            {"name": "rows", "paths": [str(tmp_path / "rows.jsonl")]},
            {"name": "note", "paths": [str(tmp_path / "note.txt")]},
        ],
        "executor": {"workers": 1},
    }
    (tmp_path / "recipe.toml").write_text(tomli_w.dumps(table))
    return tmp_path / "recipe.toml"


def test_the_whole_takes_as_much_more_as_it_is_larger(recipe: Path, tmp_path: Path) -> None:
    forecast = dry_run(read_recipe(recipe), tmp_path / "work", tmp_path / "data", sample_bytes=300_000)
    assert forecast.total_bytes == sum((tmp_path / name).stat().st_size for name in ("rows.jsonl", "note.txt"))
    assert 300_000 <= forecast.sample_bytes < 500_000
    scale = forecast.total_bytes / forecast.sample_bytes
    by_name = {step.name: step for step in forecast.steps}
    assert by_name["pass-0"].seconds == pytest.approx(by_name["pass-0"].sample_seconds * scale)
    assert by_name["tokenizer"].seconds == by_name["tokenizer"].sample_seconds
    assert forecast.seconds >= by_name["pass-0"].seconds
    assert forecast.disk_bytes > 0


def test_only_the_page_stays(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = PrepareConfig(str(recipe), out=tmp_path / "sub" / "mix", dry_run=True, sample_bytes=200_000)
    prepare(config)
    output = capsys.readouterr().out
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["mix.dry-run.html"]
    assert "exact-duplicates: removed 0 of" in output
    assert "the whole takes about" in output
    with pytest.raises(UserError, match="sample_bytes=0 is too small"):
        prepare(replace(config, sample_bytes=0))
