"""The safety audit of a model: `lmcraft audit safety`, and the same measurements for Python.

- `toxicity.py`: how toxic continuations get; `scorer.py`: what scores them, pinned by a hash
- `over_refusal.py`, `harmless_*.csv`: harmless questions that a model refuses; `refusals.py`: what counts as a refusal
- `probes.py`, `parts.py`: these as tasks of `Evaluation`, and the lists of prompts; `groups.csv`
- `figures.py`: the figures of all parts, and the comparison with a reference; `gaps.py`: gaps between groups;
  `results.py` holds both
- `sampling.py`, `questions.py`: the texts that a model writes
"""
