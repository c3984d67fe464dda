"""Training with differential privacy (DP-SGD, arXiv 1607.00133, algorithm 1)."""
