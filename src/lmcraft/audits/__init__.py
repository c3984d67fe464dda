"""Measures what a model may do to people: `lmcraft audit`, `lmcraft guard compare`.

- `safety/`: harm, refusals and gaps between groups
- `privacy/`: what a model gives away about its training data
- `strategies/`: ways to train and steer a model towards less harm, compared
"""
