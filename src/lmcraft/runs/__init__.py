"""The runs of a folder, live: what they are doing, their curves, and stopping or resuming them."""
