"""Finds personal data in Chinese and English texts, and redacts, pseudonymizes or drops it.

- `scrubber.py`: what to look for, and what to do with it
- `kinds.py`: the kinds of personal data, findings, and which of two that overlap counts
- `finder.py`: runs the detectors; `detectors/`: one file for each family of kinds; `folding.py`: undoes disguises first
- `pseudonyms/`: keyed, consistent and reversible replacements
- `json_values.py`: the same for JSON
- `checksums.py`: those of python-stdnum; `tables.py`, `tables/`: words, surnames, given names, places
"""

from lmcraft.privacy.scrubbing.kinds import KINDS, Finding
from lmcraft.privacy.scrubbing.pseudonyms import create_key_file, read_key_file
from lmcraft.privacy.scrubbing.scrubber import Action, Scrubbed, Scrubber

__all__ = ["KINDS", "Action", "Finding", "Scrubbed", "Scrubber", "create_key_file", "read_key_file"]
