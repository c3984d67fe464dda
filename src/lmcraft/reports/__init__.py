"""HTML reports of runs. Each page is a single file that opens offline.

| file | contents |
|---|---|
| `page` | the report of a run, and the page of a learning-rate range test |
| `finetuning` | the fine-tuning section of a report |
| `tasks` | the tasks of a report: each one's curve over the steps |
| `scaling` | the page of a scaling law |
| `evaluation` | the page of an evaluation |
| `comparison` | the page of compared models |
| `task_curves` | the tasks of a family, in its page |
| `chart`, `table` | SVG charts, sparklines and HTML tables |
"""
