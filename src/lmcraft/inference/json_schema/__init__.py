"""JSON Schema (draft 2020-12) rewritten into the part of it that llguidance enforces exactly; whatever has no such form is
an error, never a weaker constraint.

`compiler.py` the grammar · `references.py` one schema without addresses and old spellings · `normalizer.py` the rules, one
per keyword · `arrays.py` conditions on the items of an array together · `unevaluated.py` what combinations of schemas
evaluate · `negation.py` the values that a schema excludes · `exclusion.py` whether two schemas have no value in common ·
`bounds.py` exclusive bounds of numbers · `closing.py` objects without further properties · `formats.py` the formats as
regular expressions · `patterns.py` ECMAScript's regular expressions as Rust's · `scope.py` the parts of a schema and errors.
"""

from lmcraft.inference.json_schema.closing import close_objects
from lmcraft.inference.json_schema.compiler import compile_schema
from lmcraft.inference.json_schema.normalizer import TOO_DEEP, normalize_schema
from lmcraft.inference.json_schema.scope import SchemaError, map_schemas

__all__ = ["TOO_DEEP", "SchemaError", "close_objects", "compile_schema", "map_schemas", "normalize_schema"]
