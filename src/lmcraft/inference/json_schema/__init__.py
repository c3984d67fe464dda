"""JSON Schema (draft 2020-12) rewritten into the part of it that llguidance enforces exactly; whatever has no such form is
an error, never a weaker constraint.

`normalizer.py` has the rules, one per keyword · `negation.py` the values that a schema excludes · `exclusion.py` whether two
schemas have no value in common · `bounds.py` exclusive bounds of numbers · `closing.py` objects without further properties ·
`formats.py` the formats as regular expressions · `scope.py` the parts of a schema, references and errors.
"""

from lmcraft.inference.json_schema.closing import close_objects
from lmcraft.inference.json_schema.normalizer import normalize_schema
from lmcraft.inference.json_schema.scope import SchemaError

__all__ = ["SchemaError", "close_objects", "normalize_schema"]
