"""The stage `normalize`: one form of Unicode, no control characters, and repaired encodings."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from lmcraft.preparation.contracts import KEEP, JsonObject, Record, Verdict
from lmcraft.preparation.stages.repair import garbling, library_versions, repair_encoding

# Control characters but tab, line feed and carriage return; marks of byte order; soft hyphens; marks of direction, which
# reorder what is shown; surrogates, which UTF-8 cannot hold. Joiners (U+200C, U+200D) belong to words and emoji, and stay.
UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\xad\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Normalize:
    """Normalizes Unicode, drops control characters, and repairs texts that were read in a wrong encoding."""

    form: Literal["NFC", "NFKC", "none"] = "NFC"
    """Form of Unicode; NFKC also changes full-width letters, ligatures and superscripts."""
    repair: bool = True
    """Repair texts that were read in a wrong encoding, and remove those beyond repair."""

    name: ClassVar[str] = "normalize"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ("normalized", "repaired", "garbled")

    def fingerprint(self) -> JsonObject:
        """The settings, and the versions of Unicode's data and of ftfy."""
        libraries = library_versions() if self.repair else {}
        return {"form": self.form, "repair": self.repair, "unicode": unicodedata.unidata_version, **libraries}

    def judge(self, record: Record) -> Verdict:
        """The text in one form, if it had another; removed if it is garbled."""
        text, reason = record.text, "normalized"
        if self.repair and not text.isascii():
            repaired = repair_encoding(text)
            if repaired != text:
                text, reason = repaired, "repaired"
            if evidence := garbling(text):
                return Verdict("garbled", evidence=evidence)
        text = self._normalize(text)
        return Verdict(reason, text=text) if text != record.text else KEEP

    def _normalize(self, text: str) -> str:
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if not text.isprintable() and UNWANTED.search(text):
            text = UNWANTED.sub("", text)
        if self.form != "none" and not text.isascii() and not unicodedata.is_normalized(self.form, text):
            text = unicodedata.normalize(self.form, text)
        return text
