"""Training with differential privacy (DP-SGD, arXiv 1607.00133, algorithm 1).

Each step draws units at random, clips the gradient of each, and adds noise to their sum.

| file | contents |
|---|---|
| `run` | a private run: its units, mechanism and secret, and what it notes in its folder |
| `mechanism` | how often a unit is drawn, how much noise is added, and what the steps spend |
| `gradients` | the gradients of a step: sampling, clipping and noise, each of which can be replaced |
| `units` | the units of the training data, as rows; micro-batches of rows of similar length |
| `sampling` | Poisson sampling |
| `clipping` | the sum of the rows' clipped gradients, in one forward and one backward pass |
| `layers` | the gradients of the weights of each kind of layer for each row |
| `projection` | the same for the fused output projection and cross-entropy, and for tied embeddings |
| `row_gradients` | norms and weighted sums of the rows' gradients |
| `memory` | what a private step keeps beside an ordinary one |
| `noise` | Gaussian noise |
| `secret` | the key from which sampling and noise follow |
| `checks` | what cannot be trained privately |
"""
