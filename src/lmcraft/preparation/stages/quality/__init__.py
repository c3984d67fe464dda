"""Rules of quality: which documents are text worth learning from.

- `statistics.py`: a document's tokens and lines, each found once
- `measures.py`, `repetition.py`: what the rules measure
- `phrases.py`: the words of menus, notices, shops and sales, from `phrases/`
- `punctuation.py`: which characters end sentences, and which are symbols
- `lines.py`: C4's rules, which cut lines
- `rules.py`: thresholds, read from `profiles/`, each with its source
- `stage.py`: the stage of a preparation
"""
