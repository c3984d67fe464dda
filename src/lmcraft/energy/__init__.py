"""The energy that work draws: a ladder of meters, each reading with its method and an interval."""
