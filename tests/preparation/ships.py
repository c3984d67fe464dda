"""A small corpus with two exact duplicates, and a recipe for it."""

from pathlib import Path

from lmcraft.json_lines import format_json_line


def write_ships(folder: Path, count: int, stages: str, more: str) -> Path:
    """Write rows.jsonl and recipe.toml; `more` are settings after those of the source. Returns the recipe."""
    rows = [
        f"Document number {n} tells of {n * 7919} ships that left harbor {n % 13} at {n * 31 % 24}." for n in range(count)
    ]
    with (folder / "rows.jsonl").open("w") as file:
        for text in [*rows, rows[3], rows[4]]:
            file.write(format_json_line({"text": text}))
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f'vocab_size = 300\nvalidation = 0.1\nstage = [{stages}]\n[[source]]\nname = "ships"\n'
        f'paths = ["{folder}/rows.jsonl"]\n{more}\n'
    )
    return recipe
