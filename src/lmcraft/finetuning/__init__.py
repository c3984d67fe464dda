"""Fine-tuning: an existing model trained on examples of a task.

| file | holds |
|---|---|
| `config.py` | the settings |
| `run.py` | `FinetuneRun`: model and trainer built from data and objective |
| `example_files.py`, `splits.py` | reads files of examples, counts the rows that cannot be used; training and validation |
| `rows.py`, `row_fields.py`, `messages.py` | the formats of rows: fields, messages, tool calls, labels |
| `examples.py` | the types of examples |
| `training_data.py` | `TrainingData`: examples tokenized, checked and packed |
| `dataset_rows.py` | rows of a dataset folder, with canaries among them |
| `template_checks.py` | what a chat template leaves out, and what it adds |
| `encoding.py` | `ExampleEncoder`: the chat template applied, and the mask of trained tokens |
| `packing.py` | several examples in one row |
| `privacy.py`, `example_units.py` | differential privacy: what it excludes; examples as its units |
| `data_checks.py` | checks of the data before the first step; `--show-batch` |
| `objectives/` | one file per objective: SFT, distillation, DPO, KTO, ... |
| `reference_model.py`, `regularization.py` | the starting model as a reference; L2-SP |
| `methods.py`, `lora.py` | which weights are trained; adapters |
| `head.py` | the head of classifiers and reward models, and the labels |
| `label_spellings.py`, `label_report.py` | labels that look alike; accuracy, F1, confusion matrix |
| `metrics.py`, `evaluation.py` | the mean loss on held-out data; the model before and after |
| `tuned_model.py` | writing and opening the folder of a fine-tuned model |
| `text_classifier.py` | `Classifier`: a fine-tuned classifier for inference |
"""
