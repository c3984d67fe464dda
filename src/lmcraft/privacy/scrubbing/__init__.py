"""Finds personal data in Chinese and English texts, and redacts, pseudonymizes or drops it."""
