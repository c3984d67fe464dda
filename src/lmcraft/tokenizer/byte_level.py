"""The alphabet of byte-level BPE: GPT-2 writes each of the 256 bytes as one printable character."""

from functools import cache


@cache
def byte_of_character() -> dict[str, int]:
    """Which byte each character of the alphabet stands for.

    Printable bytes of Latin-1 stand for themselves; the others, in order, are U+0100, U+0101 and so on.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


def token_to_bytes(token: str) -> bytes:
    """The bytes that a token of a byte-level vocabulary stands for; a token outside the alphabet is plain text."""
    alphabet = byte_of_character()
    try:
        return bytes(alphabet[character] for character in token)
    except KeyError:
        return token.encode()
