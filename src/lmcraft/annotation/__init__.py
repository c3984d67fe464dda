"""Human review: people judge items by written guidelines, and their verdicts become data, tests and evidence.

- `audit_log.py`: what every change was, in a chain of hashes · `anchors.py`: where the chain ended, kept elsewhere
"""
