"""Ways to make a model less harmful, trained on one corpus from one seed, and compared: `lmcraft guard compare`.

- `experiment.py`: the experiment file; `ingredients.py`: what strategies are made of
- `corpus.py`: the texts of each dataset, clean and toxic, filtered and balanced
- `stages.py`, `answer_pairs.py`: what is trained from what, each once; `plan.py`: the stages of a strategy
- `cost.py`: processor time and energy
- `measurement.py`: toxicity, perplexity and over-refusal of a trained model
- `results.py`: figures with intervals over seeds and prompts; `run.py`: the whole comparison
"""

from lmcraft.audits.strategies.experiment import Experiment, read_experiment
from lmcraft.audits.strategies.results import StrategyComparison
from lmcraft.audits.strategies.run import run_comparison

__all__ = ["Experiment", "StrategyComparison", "read_experiment", "run_comparison"]
