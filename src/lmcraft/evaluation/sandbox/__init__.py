"""Runs programs that a model wrote in a process that can compute and print, and nothing else.

run        starts the process, with limits on time and memory
child      what runs in it: limits, the filter, the program
seccomp    the filter of system calls (Linux)
"""

from lmcraft.evaluation.sandbox.run import Outcome, run_program

__all__ = ["Outcome", "run_program"]
