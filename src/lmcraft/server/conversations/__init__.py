"""The chat page's conversations, and their export as training data.

| file | what |
|---|---|
| `store.py` | the database's operations, each limited to one owner's conversations |
| `tables.py` | the tables, and opening the database |
| `rows.py` | converts conversations and messages to table rows and back |
| `validation.py` | limits on texts and JSON |
| `importer.py` | converts imported conversations to rows |
| `exporter.py` | writes ratings, edits and preferences as files for `lmcraft finetune` |
"""
