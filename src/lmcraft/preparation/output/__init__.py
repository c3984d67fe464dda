"""What comes after the last stage: tokens, shards and the description of a dataset.

- `steps.py`: the steps from records to shards
- `tokenizer_sample.py`: the tokenizer: brought, or trained on a sample
- `encode.py`: records to tokens
- `marks.py`: marks between the tokens of a document
- `parts.py`: documents of one source and language that are read equally often
- `assemble.py`: training and validation, order, shards
- `finish.py`: the dataset folder
- `set_aside.py`: documents that wait for a person to review them
- `manifest.py`: the manifest, and the files that describe the dataset
- `summary.py`: counts by stage, source, language and reason
- `histograms.py`: lengths of documents, and what stages measure of them
- `croissant.py`: the dataset as Croissant metadata
"""
