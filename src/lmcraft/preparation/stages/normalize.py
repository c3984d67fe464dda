"""The stage `normalize`: one form of Unicode, no control characters, and repaired encodings."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from lmcraft.preparation.contracts import KEEP, JsonObject, Record, Verdict
from lmcraft.preparation.stages.repair import (
    UNWANTED_CHARACTERS,
    count_characters,
    garbling,
    library_versions,
    repair_encoding,
)

UNWANTED_ASCII = bytes(code for code in range(128) if UNWANTED_CHARACTERS.match(chr(code)))


@dataclass(frozen=True)
class Normalize:
    """Normalizes Unicode, drops control characters, and repairs texts that were read in a wrong encoding."""

    form: Literal["NFC", "NFKC", "none"] = "NFC"
    """Form of Unicode; NFKC also changes full-width letters, ligatures and superscripts."""
    repair: bool = True
    """Repair texts that were read in a wrong encoding, and remove those beyond repair."""

    name: ClassVar[str] = "normalize"
    version: ClassVar[int] = 2
    reasons: ClassVar[Sequence[str]] = ("normalized", "repaired", "garbled")

    def fingerprint(self) -> JsonObject:
        """The settings, and the versions of Unicode's data and of ftfy."""
        libraries = library_versions() if self.repair else {}
        return {"form": self.form, "repair": self.repair, "unicode": unicodedata.unidata_version, **libraries}

    def judge(self, record: Record) -> Verdict:
        """The text in one form, if it had another; removed if it is garbled."""
        text = record.text
        if text.isascii():
            changed = _drop_ascii(text)
            return Verdict("normalized", text=changed) if changed != text else KEEP
        counts, reason = count_characters(text), "normalized"
        if self.repair:
            repaired = repair_encoding(text, counts)
            if repaired != text:
                text, counts, reason = repaired, count_characters(repaired), "repaired"
            if evidence := garbling(text, counts):
                return Verdict("garbled", evidence=evidence)
        if counts.unwanted:
            text = UNWANTED_CHARACTERS.sub("", text)
        if self.form != "none" and not unicodedata.is_normalized(self.form, text):
            text = unicodedata.normalize(self.form, text)
        text = _with_line_feeds(text)
        return Verdict(reason, text=text) if text != record.text else KEEP


def _drop_ascii(text: str) -> str:
    """A text of ASCII without control characters."""
    data = text.encode()
    kept = data.translate(None, UNWANTED_ASCII)
    return _with_line_feeds(kept.decode() if len(kept) < len(data) else text)


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
