"""What requests hold, field by field: every field is bounded, and one that is not known is refused."""
