"""What a model gives away about its training data: `lmcraft audit privacy`.

- `membership.py`: scores that are higher for documents that a model was trained on, and how well they tell
"""
