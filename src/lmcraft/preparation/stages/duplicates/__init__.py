"""Duplicates: exact ones, near ones, and passages that repeat.

- `corpus.py`: the documents of all units, numbered; which of two duplicates takes precedence
- `exact.py`: equal texts
- `near.py`: similar texts; its sketches
- `minhash.py`: shingles, and the keys of MinHash bands
- `pairs.py`: candidates from the keys, verified, resolved
- `verify.py`: the sets of shingles on disk, true Jaccard similarity
- `clusters.py`: which document stands for which, and the verdicts
- `index.py`: documents of finished datasets, to compare with
"""
