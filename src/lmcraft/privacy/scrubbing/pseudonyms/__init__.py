"""Pseudonyms: functions of a key and a passage alone, so that any number of workers agree, and the key leads back.

- `cipher.py`: a keyed permutation of the numbers below any bound
- `forms.py`: what pseudonyms look like by kind, and the way back
- `pseudonymizer.py`: replaces and restores the passages of a text
- `key_file.py`: the key, on disk
"""

from lmcraft.privacy.scrubbing.pseudonyms.key_file import create_key_file, read_key_file
from lmcraft.privacy.scrubbing.pseudonyms.pseudonymizer import Pseudonymizer

__all__ = ["Pseudonymizer", "create_key_file", "read_key_file"]
