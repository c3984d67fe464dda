"""Conversations of the chat page, and the training data that people's feedback makes of them.

| file | what |
|---|---|
| `store.py` | the database's operations, each limited to one owner's conversations |
| `tables.py` | the tables, and opening the database |
| `rows.py` | values of conversations and messages to rows and back |
| `validation.py` | the bounds on texts and JSON |
| `importer.py` | conversations from a file to rows |
| `exporter.py` | ratings, edits and preferences to files for `lmcraft finetune` |
"""
