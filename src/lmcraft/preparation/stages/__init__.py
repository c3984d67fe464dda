"""What cleans, filters and compares documents; `catalog.py` is the table of kinds, one module (or package) each."""
