"""The policy of a server (`lmcraft serve --policy`): what its clients send, and what its models answer.

- `guard.py`: judges prompts, and records decisions
- `message_texts.py`: the texts of a request, each in the parts in which it was sent
- `held_answer.py`: holds the tokens of an answer back until their text is judged
- `forwarded_answer.py`: does the same with what another engine answers; `forwarded_texts.py`: the texts in its JSON;
  `forwarded_formats.py`: how each endpoint writes answers and refusals
- `reviews.py`: where texts wait for a person to look at them
"""
