"""The privacy loss of DP-SGD: Poisson sampling, clipping and Gaussian noise, composed over the steps of a run."""
