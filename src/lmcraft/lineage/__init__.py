"""What a model was made from, by hashes, down to the data.

| file | contents |
|---|---|
| `record` | `lineage.json`: written by every command that writes a model |
"""
