"""The scrubber: redact, drop, kinds, pickling, key."""

import pickle

import pytest

from lmcraft.errors import UserError
from lmcraft.privacy.scrubbing import KINDS, Finding, Scrubber, create_key_file, read_key_file
from lmcraft.privacy.scrubbing.kinds import drop_overlaps

TEXT = "Write to ann@example.com or call +1 415 555 2671."
KEY = bytes(range(32))


def test_redacts_by_kind() -> None:
    scrubbed = Scrubber().scrub(TEXT)
    assert scrubbed.text == "Write to [EMAIL] or call [PHONE]."
    assert [finding.kind for finding in scrubbed.findings] == ["email", "phone"]
    assert Scrubber(["phone"]).scrub(TEXT).text == "Write to ann@example.com or call [PHONE]."


def test_each_kind_can_be_asked_for_alone() -> None:
    text = (
        "张三，护照E12345678，京A12345，DOB 1990-01-02, MAC 00:1a:2b:3c:4d:5e, IP 203.0.113.9, "
        "3 High Street, London SW1A 1AA"
    )
    every = {finding.kind for finding in Scrubber().find(text)}
    assert {"name", "passport", "plate", "birth_date", "mac", "ip", "address"} <= every
    for kind in every:
        assert {finding.kind for finding in Scrubber([kind]).find(text)} == {kind}
    assert all(Scrubber([kind]).find("nothing here") == [] for kind in KINDS)


def test_drops() -> None:
    scrubber = Scrubber(action="drop")
    assert scrubber.scrub(TEXT).is_dropped and not scrubber.scrub(TEXT).text
    assert scrubber.scrub("nothing").text == "nothing" and not scrubber.scrub("nothing").is_dropped


def test_pickles_small() -> None:
    scrubber = Scrubber(["email"], "pseudonymize", KEY)
    data = pickle.dumps(scrubber)
    assert len(data) < 1000
    assert pickle.loads(data).scrub(TEXT) == scrubber.scrub(TEXT)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ["mail"]}, "there is no kind of personal data 'mail'"),
        ({"action": "mask"}, "action='mask' is unknown"),
        ({"action": "pseudonymize"}, "need each other"),
        ({"key": KEY}, "need each other"),
    ],
)
def test_refuses(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Scrubber(**settings)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="only with the key"):
        Scrubber().restore("text")


def test_of_findings_that_overlap_the_first_kind_counts() -> None:
    findings = [Finding("name", 0, 9), Finding("email", 5, 12), Finding("phone", 12, 14), Finding("phone", 12, 20)]
    assert drop_overlaps(findings) == [Finding("email", 5, 12), Finding("phone", 12, 20)]


def test_key_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "key"
    key = create_key_file(path)
    assert read_key_file(path) == key and path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError, match="never replaced"):
        create_key_file(path)
    for content in (b"", b"lmcraft-scrubbing-key-1:00", b"\xff" * 64, path.read_bytes()[:-3]):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(UserError, match="no key file"):
            read_key_file(tmp_path / "bad")
    with pytest.raises(UserError, match="does not exist"):
        read_key_file(tmp_path / "none")
