"""Traditional Chinese characters, after the General List of Simplified Chinese Characters of 1986."""

SIMPLIFIED: dict[str, str] = {}
