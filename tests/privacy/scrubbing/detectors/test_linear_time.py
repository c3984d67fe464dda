"""Hostile texts: detectors do work that grows as the text does, and never fail."""

from lmcraft.privacy.scrubbing import Scrubber

CHARS = 20_000  # quadratic work on the texts here would take many minutes
UNITS = [
    "a", "1", "@", "a.", "a@", "@a.", "1 ", "1-", "1.", "(1)", "+1 ", "A ", "Aa ", "a1", "A1-", "::", "0:", "-0f",
    "王", "王小", "路1", "路1号", "北京市", "在", "密码是", "password ", "password:", "password is ", "token=", "api_key = ",
    "://a:", "-----BEGIN PRIVATE KEY-----", "Mr. ", "Dear ", "de ", "John ", "born ", "微信", "plate ", "京A", "eyJ", "hf_",
    "99911", "pseudonym-", "Kovamesi ", "\u200b", "１", "\U0001d7d8", "\n", " ", "，", "12 Main ", "PO Box 1, A",
    "[at]", "a [at] b ",
]  # fmt: skip


def test_repetitions_end() -> None:
    scrubber = Scrubber()
    for unit in UNITS:
        scrubber.find(unit * (CHARS // len(unit)))
