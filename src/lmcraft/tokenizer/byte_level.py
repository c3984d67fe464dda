"""The alphabet of byte-level BPE (GPT-2): each of the 256 bytes is written as one printable character."""

from functools import cache


@cache
def byte_of_character() -> dict[str, int]:
    """Map each character of the alphabet to its byte.

    Printable Latin-1 bytes stand for themselves; the others are, in order, U+0100, U+0101 and so on.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


def token_to_bytes(token: str) -> bytes:
    """The bytes of a token in a byte-level vocabulary; a token with other characters is plain text."""
    alphabet = byte_of_character()
    try:
        return bytes(alphabet[character] for character in token)
    except KeyError:
        return token.encode()
