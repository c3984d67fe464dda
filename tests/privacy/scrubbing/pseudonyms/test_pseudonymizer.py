"""Pseudonyms: consistent, keyed, without collisions, of the format of what they replace, and reversible bit for bit."""

import random
import re

import pytest

from lmcraft.privacy.scrubbing import Scrubber
from lmcraft.privacy.scrubbing.pseudonyms.cipher import Cipher

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
SCRUBBER = Scrubber(action="pseudonymize", key=KEY)
PIECES = (
    "张三", "王小明", "化名", "化名反穆池肺或棘", "京A12345", "北京市海淀区中关村大街27号", "密码：Xk9$kd",
    "，", "Mr. ", "John Smith ",
    "999", "99911", "99911382-1", "pseudonym-", "@pseudonym.invalid", "Kovamesi Tarubolo Pezanifa", "a@b.com", "13812345678",
    "+1 415 555 2671", "１３８1234\u200b5678", "203.0.113.9", "2001:db8:0:4:1111:2222:3333:4444", "11010519491231002X",
    "DE89 3704 0044 0532 0130 00", "742 Evergreen Terrace, Springfield, OR 97403 ", " ", "\n", "1",
    "Z", "-", ".", "\ud800", "\x00",
)  # fmt: skip


def pseudonym(text: str, kind: str, key: bytes = KEY) -> str:
    scrubbed = Scrubber([kind], "pseudonymize", key).scrub(text)
    (finding,) = scrubbed.findings
    return scrubbed.text[finding.start : len(scrubbed.text) - (len(text) - finding.stop)]


def test_restores_any_text_bit_for_bit() -> None:
    rng = random.Random(0)
    for _ in range(400):
        text = "".join(rng.choices(PIECES, k=rng.randrange(1, 12)))
        once = SCRUBBER.scrub(text).text
        twice = SCRUBBER.scrub(once).text
        assert SCRUBBER.restore(once) == text
        assert SCRUBBER.restore(twice) == once


@pytest.mark.parametrize(
    ("text", "kind", "shape"),
    [
        ("mail ann@example.com now", "email", r"[a-z2-7.]+@pseudonym\.invalid"),
        ("call +1 415 555 2671 now", "phone", r"\+99911\d \d{3} \d{3} \d{4}"),
        ("电话138-1234-5678。", "phone", r"99911\d{3}-\d{4}-\d{4}"),
        ("SSN 219-09-9999", "ssn", r"99909\d{3}-\d{2}-\d{4}"),
        ("身份证11010519491231002X", "resident_id", r"99918\d{17}[A-Z]"),
        ("from 203.0.113.9 on", "ip", r"2001:db8:0:4(:[0-9a-f]{4}){4}"),
        ("我叫王小明。", "name", "化名[\u4e00-\u9fff]{6}"),
        ("by John Smith today", "name", r"K[a-z]{7}( [A-Z][a-z]{7}){2}"),
        ("号牌京A12345已", "plate", "99907[\u4e00-\u9fff][A-Z]\\d{5}"),
    ],
)
def test_keeps_the_format(text: str, kind: str, shape: str) -> None:
    assert re.fullmatch(shape, pseudonym(text, kind))


def test_is_consistent_and_depends_on_the_key() -> None:
    first, second = pseudonym("ring ann@example.com up", "email"), pseudonym("ann@example.com", "email")
    assert first == second != pseudonym("ann@example.com", "email", OTHER)
    digits = {
        re.sub(r"\D", "", pseudonym(f"电话{number}。", "phone"))
        for number in ("13812345678", "138-1234-5678", "138 1234 5678")
    }
    assert len(digits) == 1  # separators stay, the number is the same


def test_no_two_values_share_a_pseudonym() -> None:
    text = "".join(f"电话1381234{number:04}。" for number in range(500))
    assert len(set(re.findall(r"99911\d{11}", Scrubber(["phone"], "pseudonymize", KEY).scrub(text).text))) == 500


def test_another_key_restores_nothing() -> None:
    text = "我叫王小明，邮箱 ann@example.com。"
    assert "王小明" not in Scrubber(action="pseudonymize", key=OTHER).restore(SCRUBBER.scrub(text).text)
    assert "ann@" not in Scrubber(action="pseudonymize", key=OTHER).restore(SCRUBBER.scrub(text).text)


@pytest.mark.parametrize(("left", "right"), [(1, 7), (10, 100), (13, 5), (2**33, 2**33)])
def test_the_cipher_is_a_permutation(left: int, right: int) -> None:
    cipher, numbers = Cipher(KEY), range(min(left * right, 1000))
    images = [cipher.encrypt(number, left, right, "test") for number in numbers]
    assert len(set(images)) == len(images) and all(0 <= image < left * right for image in images)
    assert [cipher.decrypt(image, left, right, "test") for image in images] == list(numbers)
    assert images != [cipher.encrypt(number, left, right, "other") for number in numbers]
