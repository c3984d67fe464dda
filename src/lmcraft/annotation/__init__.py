"""Human review: people judge items by written guidelines, and their verdicts become data, tests and evidence.

"""
