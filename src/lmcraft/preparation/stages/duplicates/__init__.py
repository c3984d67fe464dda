"""Duplicates: exact ones, near ones, and passages that repeat.

- `corpus.py`: the documents of all units, numbered; which of two duplicates takes precedence
- `exact.py`: equal texts
- `near.py`: similar texts; its sketches
- `minhash.py`: shingles, their similarity, and the keys of MinHash bands
- `pairs.py`: candidates from the keys, verified, resolved
- `ragged.py`: arrays of each document on disk, such as sets of shingles
- `clusters.py`: which document stands for which, and the verdicts
- `passages.py`: passages that repeat; `winnowing.py` finds them, `cutting.py` cuts them out of a text
- `finished.py`: documents of finished datasets, to compare with
"""
