"""The policy of a server (`lmcraft serve --policy`): what its clients send, and what its models answer.

- `guard.py`: judges prompts, and records decisions
- `held_answer.py`: holds the tokens of an answer back until their text is judged
- `reviews.py`: where texts wait for a person to look at them
"""
