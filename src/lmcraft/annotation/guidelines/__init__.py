"""What reviewers judge by.

- `guideline.py`: a guideline, its labels, rules and sampling plan; as JSON for the store
- `guideline_file.py`, `front_matter.py`: read a guideline from Markdown, and name file and line of a mistake
- `changes.py`: what differs between two versions, and which verdicts that touches
- `sampling.py`: draws the random sample of a plan · `samples.py`: samples in the store, and whether they reach the bar
- `templates/`: the guidelines that lmcraft brings
"""
