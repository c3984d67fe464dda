"""Items for the queue, read from files.

- `items.py`: opens a file or folder, recognizes what it is, and gives its items; counts the rows that cannot be used
- `rows.py`: the item in a row of a table
- `decisions.py`: severity and uncertainty of an item from the decision of a policy
- `audits.py`: the answers of a safety audit that people should see
"""
