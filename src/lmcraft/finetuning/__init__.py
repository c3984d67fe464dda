"""Fine-tuning: an existing model trained on examples of a task.

| file | holds |
|---|---|
| `config.py` | the settings |
| `run.py` | `FinetuneRun`: model and trainer built from data and objective |
| `training_data.py` | `TrainingData`: examples split, tokenized, checked and packed |
| `examples.py` | the data formats and the types of examples |
| `encoding.py` | `ExampleEncoder`: the chat template applied, and the mask of trained tokens |
| `packing.py` | several examples in one row |
| `data_checks.py` | checks of the data before the first step; `--show-batch` |
| `objectives/` | one file per objective: SFT, distillation, DPO, KTO, ... |
| `reference_model.py`, `regularization.py` | the starting model as a reference; L2-SP |
| `methods.py`, `lora.py` | which weights are trained; adapters |
| `head.py`, `label_report.py` | the head of classifiers and reward models, labels; accuracy, F1, confusion matrix |
| `metrics.py`, `evaluation.py` | metrics with intervals; the model before and after |
| `tuned_model.py` | writing and opening the folder of a fine-tuned model |
| `text_classifier.py` | `Classifier`: a fine-tuned classifier for inference |
"""
