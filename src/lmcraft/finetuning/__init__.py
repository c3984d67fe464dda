"""A model that exists, made to do one task: what it learns from, what of it is trained, and what is minimized."""
