"""The sections of a model's report: each is a function from the evidence of a model folder to HTML, empty if there is none.

| file | contents |
|---|---|
| `headline` | the facts at the top, and what a reader must know first |
| `curves` | loss, speed, memory and learning rate over the steps |
| `evaluations` | tasks with their intervals, and what quantization cost |
| `safety` | the safety audit |
| `privacy` | the guarantee of differential privacy, and its audit |
| `energy` | energy over the run, by part and by start, and emissions |
| `data` | datasets, sources, licenses, languages |
| `lineage` | what the model was made from, as a drawing and a table |
| `details` | architecture, samples, settings, and what was not measured |
| `quantities` | amounts with units and intervals, links to files |
"""
