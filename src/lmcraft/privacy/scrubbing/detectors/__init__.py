"""Detectors: functions that yield findings in a folded text, in one pass each.

- `emails.py`, `network.py`, `secrets.py`, `plates.py`: by their signs
- `numbers.py`: runs of digits, tried by `identity.py`, `national_ids.py`, `banking.py`, `dates.py` and `phones.py`
- `announced.py`, `cues.py`: what only the words before tell
- `addresses.py`; `chinese_names.py`, `english_names.py`: by lists and by what stands around
"""
