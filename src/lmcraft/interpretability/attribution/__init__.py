"""What of a text and of a model a difference of logits comes from, each answer with its checks.

direct_logit           the logits as a sum over heads, feed-forward layers and embeddings
patching               which activations carry the difference between two prompts
integrated_gradients   which tokens of the text
question               which logits
edited_runs            many runs of a text with some activations replaced
comparison             the checks: the same edit of random others
"""
