"""The stage `scrub`: redacts or pseudonymizes personal data, or removes the documents that have some."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import ClassVar

from lmcraft.errors import UserError
from lmcraft.folder import sha256_of
from lmcraft.preparation.contracts import KEEP, JsonObject, Record, Verdict
from lmcraft.preparation.counting import PERSONAL_DATA, Passage
from lmcraft.privacy import scrubbing
from lmcraft.privacy.scrubbing import KINDS, Action, Scrubber, read_key_file
from lmcraft.setting_values import expand_user

CONTEXT_CHARS = 4096  # around a passage, in which personal data that begins or ends outside it is recognized
REASONS: dict[Action, str] = {"redact": "redacted", "pseudonymize": "pseudonymized", "drop": "personal-data"}
MAKE_KEY = "`lmcraft scrub /dev/null --action pseudonymize --key-file FILE`"


@dataclass(frozen=True)
class Scrub:
    """Finds personal data in Chinese and English texts. Examples of all stages then show none."""

    kinds: tuple[str, ...] = ()
    """Kinds of personal data. [default: all]"""
    action: Action = "redact"
    """Replace values by their kind, or by pseudonyms; or remove the documents that have some."""
    key_file: Path | None = None
    """File with the key of the pseudonyms, which all workers read; `lmcraft scrub` makes one."""

    name: ClassVar[str] = "scrub"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = tuple(REASONS.values())

    def __post_init__(self) -> None:
        self._scrubber  # noqa: B018  # refuses impossible settings before the run

    def fingerprint(self) -> JsonObject:
        """The settings, a hash that tells keys apart, and what recognizes personal data: code, tables, libraries."""
        libraries = {name: version(name) for name in ("phonenumbers", "python-stdnum")}
        settings = {"kinds": sorted(self._scrubber.kinds), "action": self.action, "sha256": _hash_package(), **libraries}
        return settings if self._key is None else {**settings, "key": _identify(self._key)}

    def judge(self, record: Record) -> Verdict:
        """The text without personal data, and how many values of each kind it had."""
        scrubbed = self._scrubber.scrub(record.text)
        if scrubbed.text == record.text:
            return KEEP
        first = next(iter(scrubbed.findings), None)
        return Verdict(
            REASONS[self.action],
            text=None if scrubbed.is_dropped else scrubbed.text,
            evidence=record.text[first.start : first.stop] if first else "",
            notes={PERSONAL_DATA: Counter(finding.kind for finding in scrubbed.findings)},
        )

    @cached_property
    def _scrubber(self) -> Scrubber:
        return Scrubber(self.kinds or KINDS, self.action, self._key)

    @cached_property
    def _key(self) -> bytes | None:
        if self.key_file is None:
            if self.action == "pseudonymize":
                raise UserError(f"action='pseudonymize' needs a key_file: {MAKE_KEY} makes one")
            return None
        if self.action != "pseudonymize":
            raise UserError(f"key_file='{self.key_file}' is for action='pseudonymize': leave it out, or change the action")
        path = expand_user(self.key_file)
        if not path.exists():
            raise UserError(f"key_file='{self.key_file}' does not exist: {MAKE_KEY} makes one")
        return read_key_file(path)


def open_passage(stages: Iterable[Scrub]) -> Passage:
    """Passages in which the kinds of some stages are redacted."""
    scrubber = Scrubber(chain.from_iterable(stage.kinds or KINDS for stage in stages))

    def passage(text: str, start: int, stop: int) -> str:
        begin = max(0, start - CONTEXT_CHARS)
        parts, position = [], start
        for kind, first, end in scrubber.find(text[begin : stop + CONTEXT_CHARS]):
            if begin + end > position and begin + first < stop:
                parts += [text[position : begin + first], f"[{kind.upper()}]"]
                position = begin + end
        return "".join([*parts, text[position:stop]])

    return passage


@cache
def _hash_package() -> str:
    """The sha256 of the code and the tables that recognize personal data."""
    root = Path(scrubbing.__path__[0])
    paths = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    names = "".join(f"{sha256_of(path)}  {path.relative_to(root).as_posix()}\n" for path in paths)
    return hashlib.sha256(names.encode()).hexdigest()


def _identify(key: bytes) -> str:
    """A name of a key, from which nobody can compute the key or a pseudonym."""
    return hmac.digest(key, b"fingerprint of a preparation", "sha256").hex()[:16]
