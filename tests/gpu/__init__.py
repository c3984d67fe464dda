"""What runs on a GPU gives the CPU's results. `scripts/gpu-check` runs these tests; elsewhere they run on a simulated GPU."""
