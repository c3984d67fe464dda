"""Human review: people judge items by written guidelines, and their verdicts become data, tests and evidence.

- `audit_log.py`: what every change was, in a chain of hashes · `anchors.py`: where the chain ended, kept elsewhere
- `guidelines.py`: a guideline, its labels, rules and sampling plan; as JSON for the store
- `guideline_file.py`, `front_matter.py`: read a guideline from Markdown, and name file and line of a mistake
- `guideline_changes.py`: what differs between two versions, and which verdicts that touches
- `templates/`: the guidelines that lmcraft brings
"""
