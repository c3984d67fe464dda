"""The objectives of pretraining on text with marks (`data/marks.py`), one file each.

| file | what the model learns |
|---|---|
| `base.py` | the next token of all text; the class that the others extend |
| `conditional.py` | the next token, given whether its passage is bad |
| `filtered.py` | the next token of passages that are not bad; bad ones are only context |
| `unlikelihood.py` | the next token of passages that are not bad, and not to write those of bad ones |
| `registry.py` | the objectives by their `--objective` names |
"""
