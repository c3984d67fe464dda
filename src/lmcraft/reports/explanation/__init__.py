"""The page of an explanation: one HTML file in English and Chinese, which opens offline; its script is optional.

| file | contents |
|---|---|
| `page` | writes the page: facts, the views, what is left out |
| `summary` | the explanation in a few lines, for the terminal |
| `tokens` | tokens as they are shown, and a text with shaded tokens |
| `checks` | what happened when the things that a view names were taken away, beside random others |
| `phrases` | what explanations name and measure, in both languages |
| `bars`, `heat_map` | numbers as bars and as colored cells |
| `surprise`, `lens`, `logits`, `heads`, `patching`, `inputs`, `influence`, `training` | one view each |
| `script_data` | what the script of the page reads, compressed, and what is left out to keep the page small |
"""

from lmcraft.reports.explanation.page import build_page, write_explanation
from lmcraft.reports.explanation.summary import summarize

__all__ = ["build_page", "summarize", "write_explanation"]
