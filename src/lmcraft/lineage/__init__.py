"""What a model or a dataset was made from, by hashes, down to the data.

| file | contents |
|---|---|
| `document` | `Lineage` and `Origin`: the contents of `lineage.json`, checked |
| `version1` | the same of older folders |
| `hashing` | hashes of files, and which files of a folder a lineage covers |
| `record` | `read_lineage`; `write_lineage`, which every command that writes a model calls; origins |
| `locating` | where a parent or a dataset is now |
| `verification` | `verify`: recomputes the hashes of a folder and of all that it was made from |
| `sources` | the source files of a dataset |
| `description` | a lineage in words |
"""
