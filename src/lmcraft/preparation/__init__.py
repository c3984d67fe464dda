"""From raw text to a clean, mixed, documented dataset: `lmcraft prepare recipe.toml`.

- `contracts.py`: what the parts agree on: documents, verdicts, units of work, results
- `recipe.py`: the TOML file that describes a preparation
- `stages/`: what cleans, filters and compares documents
- `output/`: tokens, shards, the manifest
- `records.py`, `counting.py`: documents between two steps; what stages did with them
- `energy.py`: what all starts and workers have drawn
- `pipeline.py`: from a recipe to steps; `passes.py`: a pass over documents; `run.py`: all of it; `dry_run.py`:
  the same on a sample, with the time and disk of the whole
- `execution/`: runs units of work: on processes, Ray or Slurm; `inputs/`: reads files in portions; `output/`: shards and
  the manifest
"""

from lmcraft.preparation.recipe import Recipe, read_recipe
from lmcraft.preparation.run import prepare_recipe

__all__ = ["Recipe", "prepare_recipe", "read_recipe"]
