"""The second tier: classifiers of texts. The default one is linear in n-grams, and fast; a fine-tuned model is better.

- `features.py`: hashed n-grams of characters and words, in segments
- `linear.py`: the linear classifier and its file; `default.safetensors`: the one that lmcraft ships
- `rows.py`, `training.py`, `building.py`: rows with labels, logistic regression, and the calibrated, measured result
- `tiers.py`: what a policy opens: either kind of classifier
"""

from lmcraft.moderation.classifier.tiers import open_classifier

__all__ = ["open_classifier"]
