"""Request bodies as frozen pydantic models, one file per family of endpoints. Every field is bounded; unknown fields are
errors.

`base.py` has the base class and the bounded types, `sampling.py` the fields that all generating requests share (built from
`lmcraft.inference.generation_settings`); the other files are named after their endpoints.
"""
