"""HTML reports of runs. Each page is a single file that opens offline.

| file | contents |
|---|---|
| `page` | the report of a run, and the page of a learning-rate range test |
| `finetuning` | what fine-tuning changed, as a part of the report |
| `scaling` | the page of a scaling law |
| `chart`, `table` | SVG charts, sparklines and HTML tables |
"""
