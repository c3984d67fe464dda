"""What detectors find, and what they leave alone."""

import pytest

from lmcraft.privacy.scrubbing import Scrubber

SCRUBBER = Scrubber()


def found_in(text: str) -> list[tuple[str, str]]:
    return [(kind, text[start:stop]) for kind, start, stop in SCRUBBER.find(text)]


FINDINGS = {
    "email": [
        ("Write to ann.lee+x@mail.example.org.", "ann.lee+x@mail.example.org"),
        ("邮箱zhang_w@qq.com，谢谢", "zhang_w@qq.com"),
    ],
    "email spelled": [("jane [at] example (dot) com", "jane [at] example (dot) com")],
    "phone": [
        ("联系电话：13812345678", "13812345678"),
        ("请拨打 010-62771234 转 8", "010-62771234 转 8"),
        ("Call (415) 555-2671 today", "(415) 555-2671"),
        ("my mobile is +44 20 7946 0958", "+44 20 7946 0958"),
    ],
    "resident_id": [("身份证号：11010519491231002X。", "11010519491231002X")],
    "ssn": [("SSN 219-09-9999", "219-09-9999"), ("social security number is 219099999", "219099999")],
    "national_id": [("NHS number 943 476 5919", "943 476 5919"), ("身份 A123456789 号", "A123456789")],
    "bank_card": [("卡号 6222 0212 3456 7894", "6222 0212 3456 7894"), ("card 4111-1111-1111-1111", "4111-1111-1111-1111")],
    "iban": [
        ("IBAN DE89 3704 0044 0532 0130 00 ok", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "GB82WEST12345698765432"),
    ],
    "bank_account": [("Account number 12345678 is closed", "12345678")],
    "ip": [("from 203.0.113.9 port 22", "203.0.113.9"), ("host 2001:db8::7:1", "2001:db8::7:1")],
    "mac": [("eth0 00:1A:2b:3c:4d:5e up", "00:1A:2b:3c:4d:5e")],
    "passport": [("护照号码E88842553，", "E88842553"), ("passport number: X1234567", "X1234567")],
    "driver_license": [("driver's license number Y1330564 was", "Y1330564")],
    "plate": [("车牌京A·12345已", "京A·12345"), ("粤BD12345", "粤BD12345")],
    "account": [("加我QQ：281290346", "281290346"), ("微信号sun_ymn6441，", "sun_ymn6441")],
    "birth_date": [("born on March 3, 1987 in", "March 3, 1987"), ("出生日期：1990年3月5日", "1990年3月5日")],
    "address": [
        ("家住浙江省杭州市西湖区文三路138号2单元301室。", "浙江省杭州市西湖区文三路138号2单元301室"),
        ("lives at 742 Evergreen Terrace, Springfield, OR 97403", "742 Evergreen Terrace, Springfield, OR 97403"),
    ],
    "name": [
        ("我的同事欧阳修远说", "欧阳修远"),
        ("患者李建国，男", "李建国"),
        ("Dear Mr. Pemberton,", "Pemberton"),
        ("On Monday, Maria Q. Gonzalez told us", "Maria Q. Gonzalez"),
        ("by Zhang Xiaoming", "Zhang Xiaoming"),
    ],
    "secret": [
        ("key = sk-" + "a1B2" * 8, "sk-" + "a1B2" * 8),
        ("export T=ghp_" + "a1B2" * 9, "ghp_" + "a1B2" * 9),
        ("postgres://ann:s3cret@db/x", "ann:s3cret"),
        ("密码：Xk9$kd", "Xk9$kd"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("label", FINDINGS)
def test_finds(label: str) -> None:
    for text, passage in FINDINGS[label]:
        assert (label.split()[0], passage) in found_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "ISBN 978-7-111-12345-6, pages 100-200, version 1.2.3.4",
        "于是马上通知了房东，许多人都说这件事没有关系，高低要试一试。",
        "高兴的是，农村贫困人口继续减少。白天写代码，晚上写文档。张家界的风景很美。",
        "The Smith chart and the Young modulus are named after engineers, and a Martin is a guitar.",
        "In Jackson, Mississippi, the river rose; Washington sent engineers. May Day is in Spring.",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b fixes #4711 at 12:34:56 on 127.0.0.1",
        "std::vector<int> a; @property def token(self): return self.token_ids[0]  # password = getpass()",
        "4111 1111 1111 1112 has a wrong check digit; 11010519491231002Y is none",
        "π is 3.14159265358979 and the checksum 0x1f8b0808; the year 2024-01-15T10:00:00Z",
    ],
)
def test_leaves_ordinary_text_alone(text: str) -> None:
    assert found_in(text) == []


@pytest.mark.parametrize(
    ("text", "passage"),
    [
        ("电话１３８１２３４５６７８。", "１３８１２３４５６７８"),
        ("call 138\u200b1234\u200b5678 now", "138\u200b1234\u200b5678"),
        ("a\u00adb@ex\u200bample.com", "a\u00adb@ex\u200bample.com"),
        ("mail ann＠example．com", "ann＠example．com"),
        ("\u202e卡号 4111 1111 1111 1111\u202c", "4111 1111 1111 1111"),
        ("phone ٠١٠-٦٢٧٧١٢٣٤", "٠١٠-٦٢٧٧١٢٣٤"),
        ("\x00\ud800 ann@example.com \udfff", "ann@example.com"),
        ("İİ password: hunter2x", "hunter2x"),
    ],
)
def test_sees_through_disguises(text: str, passage: str) -> None:
    assert passage in [found for _, found in found_in(text)]


def test_a_name_with_a_label_is_a_name_elsewhere() -> None:
    text = "姓名：陆星野。后来陆星野在上海工作。"
    assert found_in(text) == [("name", "陆星野"), ("name", "陆星野")]


def test_a_long_text_has_the_findings_of_its_parts() -> None:
    part = "联系人王建国，电话13812345678，邮箱 w@qq.com。于是高兴地回家了。Ms. Anna Petrova lives here.\n"
    assert len(found_in(part * 100)) == 100 * len(found_in(part))
