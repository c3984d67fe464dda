"""Width transfer: learning rates that are found with a narrow model and scaled to a wide one.

With fixed rates the best ones change with the width, because a step moves the outputs of a wide layer further. Under the
maximal update parametrization (arXiv 2203.03466, tables 3 and 8) every layer's outputs, and their change in each step, keep
their size at any width; in other words, the spectral norms of a matrix and of its updates stay in proportion to
sqrt(out / in) (arXiv 2310.17813, condition 1). With m = width / base width:

| weights | initial size | adam, adamw | normuon, muon | sgd |
|---|---|---|---|---|
| matrices of the blocks | 1 / sqrt(m) | 1 / m | 1 | 1 |
| embeddings, output projection | 1 | 1 | 1 | m |
| norms and biases | 1 | 1 | 1 | m |
| final norm | 1 / m | 1 / m | 1 / m | 1 / m |

- A step of Adam changes every weight by about the rate, so the change of an output, a sum over `in` inputs that all point
  the same way, grows with `in` (arXiv 2407.05872, section 3). Muon's steps have the spectral norm lr * sqrt(max(1, out /
  in)), which does not depend on the width. With normuon and muon, Adam updates all other weights.
- The gain of the final norm holds the paper's multiplier of the logits, W (norm(x) / m). To multiply a weight by 1 / m is to
  multiply its initial value and Adam's rate by 1 / m, so the model needs no setting for it, and embeddings may be tied.
- Decoupled weight decay shrinks weights at the rates before scaling, so that it takes as many steps at any width (arXiv
  2405.13698). Coupled penalties (l1, l2), gradient_clip and eps are left as they are.
- All sizes must grow in proportion to the width, except that of a head, which must be the same.
"""


def rate_scales(optimizer: str, ratio: float) -> tuple[float, float, float, float, float]:
    """The scale of the learning rate of matrices, embeddings, output projection, norms and biases, and the final norm."""
    matrices = 1 / ratio if optimizer in ("adam", "adamw") else 1.0
    others = ratio if optimizer == "sgd" else 1.0
    return matrices, others, others, others, 1 / ratio
