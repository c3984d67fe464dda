"""Human review: people judge items by written guidelines, and their verdicts become data, tests and evidence.

- `store.py`: the review store, one transaction per call · `records.py`: what goes in and comes out
- `tables.py`: its tables · `content.py`: the texts of items, checked and hashed
- `queue/`: what waits, who holds what, verdicts and states
- `guidelines/`: what reviewers judge by · `agreement/`: how far they agree, and how reliable each is
- `audit_log/`: evidence that nobody edited a store
- `sources/`: items read from files
- `export.py`: verdicts as examples for fine-tuning and tests for `lmcraft evaluate`
- `answer_tests.py`: what a later answer must and must not contain
"""
