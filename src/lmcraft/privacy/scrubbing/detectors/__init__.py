"""Detectors: functions that find personal data in a folded text, in one pass each.

- `numbers.py`: what has digits, tried by `identity.py`, `national_ids.py`, `banking.py`, `dates.py`, `phones.py`,
  `network.py`, `addresses.py`, `secrets.py` and `announced.py`, which knows what only the words before tell (`cues.py`)
- `emails.py`, `plates.py`: by their signs; `network.py`, `secrets.py`, `addresses.py` also on their own
- `chinese_names.py`, `chinese_words.py`, `english_names.py`: names, by lists, words and what stands around
"""
