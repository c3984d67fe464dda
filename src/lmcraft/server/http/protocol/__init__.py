"""Request bodies as frozen pydantic models, one file per family of endpoints. Every field is bounded; unknown fields are
errors.

`sampling.py` has the fields that all generating requests share; the other files are named after their endpoints.
"""
