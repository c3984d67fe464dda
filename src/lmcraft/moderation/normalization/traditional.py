"""Traditional Chinese characters and their simplified forms, after the General List of Simplified Chinese Characters (1986)."""

SIMPLIFIED: dict[str, str] = {}
