"""The queue: items wait, somebody holds one, judges it, and it settles.

- `adding.py`: new items · `importing.py`: those of files, batch by batch · `priority.py`: which comes first
- `leases.py`: who holds which item, and the next one · `exposure.py`: the daily cap · `reviewers.py`: how much each judged
- `verdicts.py`: judge, skip, escalate, adjudicate · `states.py`: an item's state · `queries.py`: lists, counts, votes
- `search.py`: searching the texts · `blindness.py`: what a person may see of an item
- `reports.py`: what users report · `people.py`: what a person did today
- `versions.py`: the versions of the guidelines in the store · `settings.py`
"""
