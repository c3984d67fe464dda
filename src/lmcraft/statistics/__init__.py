"""Statistics that hold for few items: every measured number with its uncertainty. Needs NumPy only.

| file | holds |
|---|---|
| `intervals.py` | `Metric`, a number with its 95% interval: means and ratios of sums, with clustered errors |
| `proportions.py` | intervals of proportions, such as accuracies |
| `bootstrap.py` | intervals of any function of items |
| `paired.py` | two models compared on the same items; the smallest difference that a test detects |
| `ranking.py` | how well scores rank: average precision, area under the ROC curve |
| `calibration.py` | whether probabilities mean what they say, and the temperature that makes them |
| `multiple.py` | many comparisons: adjusted p-values, and sets of models that are tied |
| `agreement.py` | agreement of people who judge the same items: Cohen, Fleiss, Krippendorff |
| `dawid_skene.py` | how reliable each rater is when nobody knows the right labels |
| `distributions.py` | the beta, binomial, normal and Student's t distributions |

Two rules hold throughout. Too few items, or items without variation, give a number without an interval (its ends are None),
never an interval of width 0. If nothing was measured, or not a finite number, the number is NaN. Only a wrong call raises
ValueError, such as more successes than trials.
"""
