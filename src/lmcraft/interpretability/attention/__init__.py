"""Attention heads: where they attend, which of them copy, and why they attend there.

view           all of it for one text, with its checks
patterns       the largest weights of each head on a text
head_scores    induction, previous-token and duplicate-token scores on repeated random tokens
reasons        a score as a sum over pairs of components of query and key
checks         ablations of what the view names, beside random others
"""
