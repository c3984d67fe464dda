"""A GPU computes what the CPU computes: run by `scripts/gpu-check`, and elsewhere on a simulated GPU."""
