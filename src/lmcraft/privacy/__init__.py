"""What a model and a text may say about people, without torch.

- `accounting/`: what training with differential privacy costs, in epsilon and delta
- `guarantee.py`: the guarantee of a trained model, as its folder keeps it
- `scrubbing/`: finds personal data in texts, and removes or replaces it

Training itself is in `lmcraft.training.dp`, attacks on models in `lmcraft.audits.privacy`, unlearning in
`lmcraft.unlearning`.
"""
