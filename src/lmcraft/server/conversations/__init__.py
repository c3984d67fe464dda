"""The chat page's conversations, their export as training data, and the responses that clients may continue.

| file | what |
|---|---|
| `store.py` | the database's operations, each limited to one owner's conversations |
| `response_store.py` | the responses of /v1/responses, each visible to its owner only |
| `tables.py` | the tables, and opening the database |
| `rows.py` | converts conversations and messages to table rows and back |
| `validation.py` | limits on texts and JSON |
| `importer.py` | converts imported conversations to rows |
| `exchange/` | reads and writes the files of other programs |
| `export_file.py` | the file of /api/export |
| `deletion.py` | deletes what one owner has stored, or what is older than the retention |
| `feedback.py` | lists ratings, picks and edits, and counts how often each model was picked |
| `exporter.py` | writes ratings, edits and preferences as files for `lmcraft finetune` |
"""
