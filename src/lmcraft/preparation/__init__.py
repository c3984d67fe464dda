"""From raw text to a clean, mixed, documented dataset: `lmcraft prepare recipe.toml`.

- `contracts.py`: what the parts agree on: documents, verdicts, units of work, results
- `recipe.py`: the TOML file that describes a preparation
- `stages/`: what cleans, filters and compares documents
- `output/`: tokens, shards, the manifest
- `records.py`, `counting.py`: documents between two steps; what stages did with them
"""
