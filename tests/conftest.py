"""One thread: tiny models gain nothing from two, and threads that wait for each other on a busy machine cost minutes."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start, and for torch, which is imported after this

import torch

torch.set_num_threads(1)
