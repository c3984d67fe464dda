"""What a model gives away about its training data: `lmcraft audit privacy`."""
