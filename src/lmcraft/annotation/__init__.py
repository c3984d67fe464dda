"""Human review: people judge items by written guidelines, and their verdicts become data, tests and evidence.

- `store.py`: the review store, one transaction per call · `records.py`: what goes in and comes out
- `tables.py` · `adding.py`: new items · `content.py`: their texts, checked and hashed · `priority.py`: which comes first
- `leases.py`: who holds which item, and the next one · `exposure.py`: the daily cap · `reviewers.py`: how much each judged
- `reports.py`: what users report · `people.py`: what a person did today · `search.py`: searching the texts
- `verdicts.py`: judge, skip, escalate, adjudicate · `states.py`: an item's state · `queries.py`: lists, counts, votes
- `blindness.py`: what a person may see of an item · `importing.py`: the items of files, batch by batch
- `versions.py`: the versions of the guidelines in the store · `store_settings.py` · `gold.py`: gold items
- `agreement.py`: how far reviewers agree and how reliable each is · `unclear_rules.py` · `vote_table.py`: votes as arrays
- `calibration.py`: rounds in which all judge the same items blind, then see and discuss the votes
- `audit_log.py`: what every change was, in a chain of hashes · `anchors.py`: where the chain ended, kept elsewhere
- `verification.py`: was a store edited? · `chain.py`: the first row that breaks the chain · `replay.py`: the tables
- `guidelines.py`: a guideline, its labels, rules and sampling plan; as JSON for the store
- `guideline_file.py`, `front_matter.py`: read a guideline from Markdown, and name file and line of a mistake
- `guideline_changes.py`: what differs between two versions, and which verdicts that touches
- `sampling.py`: draws the random sample of a plan · `samples.py`: samples in the store, and whether they reach the bar
- `templates/`: the guidelines that lmcraft brings · `sources/`: items read from files
- `answer_tests.py`: what a later answer must and must not contain
- `export.py`: verdicts as examples for fine-tuning and tests for `lmcraft evaluate`
"""
