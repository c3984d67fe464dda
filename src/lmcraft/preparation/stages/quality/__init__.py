"""Rules of quality: which documents are text worth learning from.

- `statistics.py`: what the rules measure, from one pass over the tokens of a document
- `punctuation.py`: which characters end sentences, and which are symbols
- `lines.py`: C4's rules, which cut lines
- `rules.py`: thresholds, read from `profiles/`, each with its source
- `stage.py`: the stage of a preparation
"""
