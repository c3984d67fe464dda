"""How far reviewers agree, how reliable each is, and which rules are unclear.

- `report.py`: all figures of a guideline · `unclear_rules.py` · `vote_table.py`: votes as arrays
- `gold.py`: items whose right verdict is set beforehand
- `calibration.py`: rounds in which all judge the same items blind, then see and discuss the votes
"""
