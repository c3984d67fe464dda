"""The model card of a model folder: README.md with the metadata of the Hugging Face hub, written from evidence.

| file | contents |
|---|---|
| `update` | `update_card`: writes README.md and `lmcraft/card.json`, where its figures come from |
| `check` | `check_card`: compares both with the files of the folder |
| `merging` | lmcraft's metadata among those of people |
| `metadata` | metadata from evidence |
| `vocabulary`, `hub.toml` | the hub's licenses and tasks, and a check of metadata against its schema |
| `sections`, `measurements`, `privacy`, `usage`, `limits` | lmcraft's part, section by section |
| `values` | figures as links to their files |
| `markdown` | Markdown in which no text can change the page |
"""

from lmcraft.reports.card.check import CardCheck, check_card
from lmcraft.reports.card.update import update_card

__all__ = ["CardCheck", "check_card", "update_card"]
