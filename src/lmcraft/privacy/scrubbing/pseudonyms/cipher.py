"""A keyed permutation of the numbers below any bound: a Feistel network, as in format-preserving encryption.

The construction is that of FF1 (NIST SP 800-38G) with HMAC-SHA256 in the place of AES and numbers in the place of strings.
Equal numbers become equal numbers, so that pseudonyms are consistent, and different ones different ones. Without the key,
nobody can tell the permutation from a random one, and so neither go back nor confirm a guess.
"""

import hashlib
import hmac

ROUNDS = 10
KEY_BYTES = 32
GUARD_BYTES = 16
"""Beyond the size of a half, so that the remainder of a division is as good as uniform."""


class Cipher:
    """Permutations under one key.

    Args:
        key: 32 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key has {len(key)} bytes rather than {KEY_BYTES}")
        self._hmac = hmac.new(key, digestmod=hashlib.sha256)

    def encrypt(self, number: int, left: int, right: int, domain: str) -> int:
        """The image of a number below left * right.

        Args:
            number: from 0.
            left: the number of values of its first half.
            right: the number of values of its second half.
            domain: a name; the permutations of two names are unrelated.
        """
        a, b = divmod(number, right)
        for turn in range(0, ROUNDS, 2):
            a = (a + self._mix(domain, left, right, turn, b)) % left
            b = (b + self._mix(domain, left, right, turn + 1, a)) % right
        return a * right + b

    def decrypt(self, number: int, left: int, right: int, domain: str) -> int:
        """The number with this image."""
        a, b = divmod(number, right)
        for turn in reversed(range(0, ROUNDS, 2)):
            b = (b - self._mix(domain, left, right, turn + 1, a)) % right
            a = (a - self._mix(domain, left, right, turn, b)) % left
        return a * right + b

    def _mix(self, domain: str, left: int, right: int, turn: int, half: int) -> int:
        mac = self._hmac.copy()
        mac.update(f"{domain}\0{left:x}\0{right:x}\0{turn}\0{half:x}".encode())
        size = (max(left, right).bit_length() + 7) // 8 + GUARD_BYTES
        return int.from_bytes(hashlib.shake_256(mac.digest()).digest(size))
