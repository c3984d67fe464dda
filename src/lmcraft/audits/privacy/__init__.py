"""What a model gives away about its training data: `lmcraft audit privacy`, and the same attacks for Python.

- `audit.py`: the audit of the run of a model folder; `results.py`: what it found
- `attacks.py`: the attacks as figures and bounds
- `membership.py`: scores that are higher for documents that a model was trained on, and how well they tell
- `documents.py`: documents that a run read and others, drawn alike
- `extraction.py`: what a model writes on verbatim; `exposure.py`: how far the secrets of canaries stand out
- `copies.py`: copies with canaries, and shadow models
- `one_run.py`: lower bounds on epsilon from guesses of coins
- `private_step.py`: the trainer's private step, measured; `every_step.py`: canaries in the noisy gradients of all steps;
  `mechanism.py`: both beside the guarantee of a model
"""
