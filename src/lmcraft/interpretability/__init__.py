"""What happens inside a model, and a check of each explanation against ablations or retraining.

attention/         attention heads: where they attend, which copy, and why
attribution/       what of the text and of the model a difference of logits comes from
checkpoints        a text through the snapshots of a run
choices            tokens as the views show them
explanation        the views of one text, as data
influence/         which training documents taught the model the text
interventions      functions that ablate or patch at hook points; random others to compare with
lenses/            what each layer says: logit lens, Jacobian lens, fitting it, swapping what it reads
residual_stream    what each component writes to the residual stream, through frozen norms
surprise           how surprised the model is by each token
"""
