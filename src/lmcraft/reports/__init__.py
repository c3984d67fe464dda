"""HTML reports of runs. Each page is a single file that opens offline.

| file | contents |
|---|---|
| `page` | the report of a model folder, and the page of a learning-rate range test |
| `sections/` | its sections, each from the evidence to HTML |
| `coordinate_check` | the page of a coordinate check |
| `finetuning` | the fine-tuning section of a report |
| `tasks` | the tasks of a report: each one's curve over the steps |
| `scaling` | the page of a scaling law |
| `evaluation` | the page of an evaluation |
| `safety` | the page of a safety audit, and its tables |
| `privacy_audit` | the page of a privacy audit, and its tables |
| `comparison` | the page of compared models |
| `task_curves` | the tasks of a family, in its page |
| `strategies` | the page of compared strategies against harm |
| `energy` | what the work behind a page has drawn |
| `search` | the page of a search, and its summary for the terminal |
| `search_charts` | its charts: history, learning curves, parallel coordinates, slices |
| `search_record` | what they show: trials with their values, costs, the Pareto set |
| `preparation`, `preparation_charts` | the page of a prepared dataset |
| `template` | fills the HTML templates, whose head is the same |
| `explanation/` | the page of an explanation: what a model does with a text |
| `language`, `chinese`, `chinese_*` | the texts of a page in English and Chinese |
| `chart`, `axis`, `table` | SVG charts, sparklines and HTML tables |
| `chart_text` | charts in words, for people who do not see them |
"""
