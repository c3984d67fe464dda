"""Run a recipe: `python -m recipes NAME WORK` in the root of the repository; without a name, list the recipes.

Everything that a recipe makes goes into the folder WORK. What is complete there is not done again, so an interrupted recipe
goes on with the same command. The figures are in WORK/results.json; recipes/README.md has those that were committed.
"""

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

from recipes.work import Work

RECIPES = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipes", description=__doc__.split("\n\n")[0])
    parser.add_argument("name", nargs="?", choices=names(), metavar="NAME", help="one of the recipes listed without it")
    arguments = parser.parse_args(sys.argv[1:2])
    if arguments.name is None:
        print("\n".join(f"{name:18} {summary(name)}" for name in names()))
        return
    recipe = load(arguments.name)
    parser = argparse.ArgumentParser(prog=f"python -m recipes {arguments.name}", description=recipe.__doc__)
    parser.add_argument("work", type=Path, metavar="WORK", help="the folder for everything that the recipe makes")
    parser.add_argument("--short", action="store_true", help="a few steps on a little data, to see that everything runs")
    recipe.add_arguments(parser)
    options = parser.parse_args(sys.argv[2:])
    others = {name: value for name, value in vars(options).items() if name not in ("work", "short")}
    work = Work(RECIPES / arguments.name, options.work, short=options.short, options=others)
    work.finish(recipe.run(work, options))


def names() -> list[str]:
    """Of all recipes that run by themselves."""
    return sorted(path.parent.name for path in RECIPES.glob("*/recipe.py"))


def summary(name: str) -> str:
    """The first line of the recipe's docstring."""
    return (RECIPES / name / "recipe.py").read_text(encoding="utf-8").split('"""')[1].splitlines()[0]


def load(name: str) -> ModuleType:
    """The module `recipe.py` of a recipe, which may import the files beside it."""
    sys.path.insert(0, str(RECIPES / name))
    return importlib.import_module("recipe")


if __name__ == "__main__":
    main()
