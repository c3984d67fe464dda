"""Evidence that nobody edited a review store.

- `log.py`: what every change was, in a chain of hashes · `anchors.py`: where the chain ended, kept elsewhere
- `verification.py`: was a store edited? · `chain.py`: the first row that breaks the chain · `replay.py`: the tables
"""
