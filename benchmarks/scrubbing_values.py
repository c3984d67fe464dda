"""Invented personal data with right checksums, for the labelled set of scrubbing.py.

No value is taken from anywhere: names are combined from lists, digits are drawn and then given their check digits. Domains
of e-mail addresses are those that RFC 2606 reserves. A drawn number may belong to somebody, as any drawn number may.
"""

import base64
import calendar
import json
import random
import string
import tomllib
from collections.abc import Callable
from pathlib import Path

from stdnum import luhn

FOLDER = Path(__file__).parent / "data" / "scrubbing"


class Source(random.Random):
    """Random numbers, and the lists of a half of the set."""

    def __init__(self, seed: str, half: str) -> None:
        super().__init__(seed)
        lists = tomllib.loads((FOLDER / f"values.{half}.toml").read_text(encoding="utf-8"))
        self.zh, self.en = lists["zh"], lists["en"]


Draw = Callable[[Source], str]
MONTHS = calendar.month_name[1:]


def digits(rng: Source, count: int) -> str:
    """Drawn digits."""
    return "".join(rng.choice(string.digits) for _ in range(count))


def with_luhn(rng: Source, prefix: str, length: int) -> str:
    """A number of this length whose last digit is Luhn's."""
    body = prefix + digits(rng, length - len(prefix) - 1)
    return body + luhn.calc_check_digit(body)


def grouped(number: str, size: int, separator: str) -> str:
    """A number in groups."""
    return separator.join(number[start : start + size] for start in range(0, len(number), size))


def name_zh(rng: Source) -> str:
    """A Chinese name of two or three characters, or one with a compound surname."""
    surname = (
        rng.choice(rng.zh["compound_surnames"].split())
        if rng.random() < 0.03
        else rng.choice("".join(rng.zh["surnames"].split()))
    )
    return surname + "".join(rng.choice("".join(rng.zh["given"].split())) for _ in range(1 if rng.random() < 0.2 else 2))


def name_en(rng: Source) -> str:
    """A first and a last name, sometimes with an initial between them."""
    middle = f" {rng.choice(string.ascii_uppercase)}." if rng.random() < 0.15 else ""
    return f"{rng.choice(rng.en['first'].split())}{middle} {rng.choice(rng.en['last'].split())}"


def email(rng: Source) -> str:
    """An address at a reserved domain."""
    first, last = rng.choice(rng.en["first"].split()).lower(), rng.choice(rng.en["last"].split()).lower().replace("'", "")
    user = rng.choice((f"{first}.{last}", f"{first[0]}{last}{digits(rng, 2)}", f"{last}_{first}", f"{first}+{last[:3]}"))
    return f"{user}@{rng.choice(rng.en['hosts'].split())}"


def mobile_zh(rng: Source) -> str:
    """A mobile number of mainland China, written in one of the usual ways."""
    number = rng.choice(
        ("138", "139", "136", "150", "159", "186", "188", "177", "199", "133", "135", "152", "166")
    ) + digits(rng, 8)
    three_four = f"{number[:3]}{{0}}{number[3:7]}{{0}}{number[7:]}"
    return rng.choice(
        (
            number,
            number,
            number,
            three_four.format("-"),
            three_four.format(" "),
            f"+86 {number}",
            f"+86-{number}",
            f"86{number}",
        )
    )


def landline_zh(rng: Source) -> str:
    """A landline number of mainland China, perhaps with an extension."""
    area = rng.choice(("010", "021", "0755", "0571", "028", "027", "0512", "022"))
    number = rng.choice("23568") + digits(rng, 7)
    return rng.choice((f"{area}-{number}", f"({area}){number}", f"{area}-{number[:4]} {number[4:]}", f"{area} {number}"))


def phone_us(rng: Source) -> str:
    """A number of the United States, written in one of the usual ways."""
    area, exchange, line = (
        rng.choice(rng.en["areas"].split()),
        f"{rng.randint(2, 9)}{rng.randint(2, 9)}{rng.randint(0, 9)}",
        digits(rng, 4),
    )
    formats = ("({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "+1 {} {} {}", "+1-{}-{}-{}", "{} {} {}")
    return rng.choice(formats).format(area, exchange, line)


def phone_uk(rng: Source) -> str:
    """A mobile number of the United Kingdom, national or international."""
    rest = f"{rng.choice(('7400', '7700', '7911', '7814'))}{digits(rng, 6)}"
    return rng.choice((f"+44 {rest[:4]} {rest[4:]}", f"0{rest[:4]} {rest[4:]}"))


def date(rng: Source, first: int, last: int) -> tuple[int, int, int]:
    """Year, month and day."""
    return rng.randint(first, last), rng.randint(1, 12), rng.randint(1, 28)


def resident_id(rng: Source) -> str:
    """A Chinese resident identity number (GB 11643: ISO 7064 MOD 11-2)."""
    year, month, day = date(rng, 1950, 2009)
    body = f"{rng.choice(rng.zh['regions'].split())}{year}{month:02}{day:02}{digits(rng, 3)}"
    total = sum(int(digit) * (2 ** (17 - index) % 11) for index, digit in enumerate(body))
    return body + "10X98765432"[total % 11]


def ssn(rng: Source) -> str:
    """A US social security number: no area, group or serial of zeros, no area that is not given out."""
    area = rng.choice([number for number in range(1, 900) if number != 666])
    separator = rng.choice("--- ")
    return f"{area:03}{separator}{rng.randint(1, 99):02}{separator}{rng.randint(1, 9999):04}"


def sin(rng: Source) -> str:
    """A Canadian social insurance number."""
    return grouped(with_luhn(rng, rng.choice("124567"), 9), 3, rng.choice(" -"))


def nhs(rng: Source) -> str:
    """A British NHS number."""
    while True:
        body = rng.choice("4679") + digits(rng, 8)
        check = (11 - sum(int(digit) * (10 - index) for index, digit in enumerate(body)) % 11) % 11
        if check != 10:
            number = f"{body}{check}"
            return f"{number[:3]} {number[3:6]} {number[6:]}"


def card_zh(rng: Source) -> str:
    """A UnionPay card."""
    number = with_luhn(rng, rng.choice(("622202", "621700", "622848", "621661", "625965", "622588")), rng.choice((16, 19)))
    return rng.choice((number, number, grouped(number, 4, " ")))


def card_en(rng: Source) -> str:
    """A card of Visa, Mastercard, American Express or Discover."""
    prefix, length = rng.choice((("4", 16), ("5" + rng.choice("12345"), 16), ("37", 15), ("6011", 16)))
    number = with_luhn(rng, prefix + digits(rng, 3), length)
    if length == 15:
        return rng.choice((number, f"{number[:4]} {number[4:10]} {number[10:]}"))
    return rng.choice((number, grouped(number, 4, " "), grouped(number, 4, "-")))


def iban(rng: Source) -> str:
    """An IBAN of Germany, Great Britain, France or the Netherlands (ISO 7064 MOD 97-10)."""
    country, bban = rng.choice(
        (
            ("DE", digits(rng, 18)),
            ("GB", f"{rng.choice(('WEST', 'BARC', 'LOYD'))}{digits(rng, 14)}"),
            ("NL", f"{rng.choice(('ABNA', 'INGB'))}{digits(rng, 10)}"),
        )
    )
    value = int("".join(str(int(letter, 36)) for letter in f"{bban}{country}00"))
    number = f"{country}{98 - value % 97:02}{bban}"
    return rng.choice((number, grouped(number, 4, " ")))


def account(rng: Source) -> str:
    """A bank's account number without a checksum."""
    return digits(rng, rng.choice((10, 12)))


def ipv4(rng: Source) -> str:
    """A public IPv4 address."""
    return ".".join(
        map(str, (rng.choice((36, 47, 58, 81, 101, 119, 139, 180, 203, 221)), *(rng.randint(1, 250) for _ in range(3))))
    )


def ipv6(rng: Source) -> str:
    """A global IPv6 address, written out or shortened."""
    groups = [f"{rng.randint(1, 65535):x}" for _ in range(5)]
    return rng.choice(
        (
            f"2a02:{groups[0]}:{groups[1]}::{groups[2]}",
            f"2408:{':'.join(groups)}:{rng.randint(1, 65535):x}:{rng.randint(1, 65535):x}",
        )
    )


def mac(rng: Source) -> str:
    """A MAC address."""
    parts = [f"{rng.randint(0, 255):02x}" for _ in range(6)]
    joined = rng.choice(":-").join(["3c", *parts[1:]])
    return rng.choice((joined, joined.upper()))


def token(rng: Source, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Drawn letters and digits."""
    return "".join(rng.choice(alphabet) for _ in range(count))


def url(rng: Source) -> str:
    """An address with a password or a token in it, which stands in brackets of its own: it alone is the label."""
    user = rng.choice(rng.en["first"].split()).lower()
    return rng.choice(
        (
            f"https://{user}:⟦{token(rng, 10)}⟧@git.example.com/team/app.git",
            f"postgresql://{user}:⟦{token(rng, 12)}⟧@db.example.net:5432/orders",
            f"https://api.example.com/v1/users?access_token=⟦{token(rng, 32)}⟧",
            f"redis://:⟦{token(rng, 16)}⟧@cache.example.org:6379/0",
        )
    )


def secret(rng: Source) -> str:
    """A key or token of a well-known shape."""
    jwt = ".".join(
        base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")
        for part in ('{"alg":"HS256","typ":"JWT"}', json.dumps({"sub": digits(rng, 10), "iat": 1700000000}))
    )
    return rng.choice(
        (
            f"AKIA{token(rng, 16, string.ascii_uppercase + '234567')}",
            f"ghp_{token(rng, 36)}",
            f"sk-proj-{token(rng, 48)}",
            f"xoxb-{digits(rng, 12)}-{digits(rng, 12)}-{token(rng, 24)}",
            f"AIza{token(rng, 35)}",
            f"glpat-{token(rng, 20)}",
            f"hf_{token(rng, 34, string.ascii_letters)}",
            f"{jwt}.{token(rng, 43)}",
        )
    )


def private_key(rng: Source) -> str:
    """A private key in PEM; its body is noise."""
    body = "\n".join(token(rng, 64, string.ascii_letters + string.digits + "+/") for _ in range(5))
    kind = rng.choice(("RSA ", "EC ", "OPENSSH ", ""))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


def password(rng: Source) -> str:
    """A password."""
    return f"{token(rng, rng.randint(6, 9))}{rng.choice('!#%')}{digits(rng, 2)}"


def address_zh(rng: Source) -> str:
    """An address down to the room, with or without the province."""
    province, city, districts = rng.choice(rng.zh["cities"])
    road = f"{rng.choice(districts.split())}{rng.choice(rng.zh['roads'].split())}{rng.randint(1, 999)}号"
    where = f"{province if rng.random() < 0.7 else ''}{city}{road}"
    building, floor, room = rng.randint(1, 30), rng.randint(1, 30), rng.randint(1, 4)
    return where + rng.choice(
        (
            "",
            f"{rng.choice(rng.zh['estates'].split())}{building}栋{floor}0{room}室",
            f"{rng.choice(rng.zh['estates'].split())}{building}号楼{room}单元{floor}0{room}",
            f"{floor}楼{floor}0{room}室",
        )
    )


def address_us(rng: Source) -> str:
    """An address in the United States, with or without the state and ZIP code."""
    town, state, code = rng.choice(rng.en["towns_us"])
    flat = rng.choice(("", "", f", Apt {rng.randint(1, 40)}{rng.choice('ABC')}", f", Suite {rng.randint(100, 900)}"))
    return f"{rng.randint(12, 9800)} {rng.choice(rng.en['streets'])}{flat}, {town}, {state} {code}{digits(rng, 2)}"


def address_uk(rng: Source) -> str:
    """An address in the United Kingdom."""
    town, area = rng.choice(rng.en["towns_uk"])
    street = rng.choice(("Station Road", "High Street", "Victoria Road", "Church Lane", "Mill Lane", "Queens Road"))
    return f"{rng.randint(1, 190)} {street}, {town} {area} {rng.randint(1, 9)}{rng.choice('ABDEHLN')}{rng.choice('ABDEHLN')}"


def plate_zh(rng: Source) -> str:
    """A Chinese plate, of a new-energy car too."""
    rest = string.digits + "ABCDEFGHJKLMNPQRSTUVWXYZ"
    start = f"{rng.choice(rng.zh['plates'])}{rng.choice('ABCD')}"
    if rng.random() < 0.25:
        return f"{start}{rng.choice('DF')}{digits(rng, 5)}"
    tail = "".join(rng.choice(rest) for _ in range(2)) + digits(rng, 3)
    return f"{start}{rng.choice(('', '·'))}{tail}"


def plate_en(rng: Source) -> str:
    """A plate of California or New York."""
    letters = "".join(rng.choice(string.ascii_uppercase) for _ in range(3))
    return rng.choice((f"{rng.randint(4, 9)}{letters}{digits(rng, 3)}", f"{letters}-{digits(rng, 4)}"))


def passport_zh(rng: Source) -> str:
    """A Chinese passport number."""
    return rng.choice((f"E{digits(rng, 8)}", f"E{rng.choice('ABCDEFGHJ')}{digits(rng, 7)}"))


def passport_us(rng: Source) -> str:
    """A US passport number, of the books since 2021 or before."""
    return rng.choice((f"{rng.choice('ACXYZ')}{digits(rng, 8)}", f"{rng.randint(1, 9)}{digits(rng, 8)}"))


def driver_license(rng: Source) -> str:
    """A driver's license number of California."""
    return f"{rng.choice('ABCDFNY')}{digits(rng, 7)}"


def qq(rng: Source) -> str:
    """A QQ number."""
    return f"{rng.randint(1, 9)}{digits(rng, 8)}"


def wechat(rng: Source) -> str:
    """A WeChat name."""
    return f"{rng.choice(('wx', 'sun', 'lily', 'tom'))}_{token(rng, 3, string.ascii_lowercase)}{digits(rng, 4)}"


def birth_zh(rng: Source) -> str:
    """A date of birth as Chinese texts write it."""
    year, month, day = date(rng, 1945, 2008)
    return rng.choice(
        (f"{year}年{month}月{day}日", f"{year}-{month:02}-{day:02}", f"{year}/{month}/{day}", f"{year}.{month:02}.{day:02}")
    )


def birth_en(rng: Source) -> str:
    """A date of birth as English texts write it."""
    year, month, day = date(rng, 1945, 2008)
    name = MONTHS[month - 1]
    return rng.choice(
        (f"{name} {day}, {year}", f"{day} {name} {year}", f"{month:02}/{day:02}/{year}", f"{year}-{month:02}-{day:02}")
    )


VALUES: dict[str, Draw] = {
    "name.zh": name_zh, "name.en": name_en, "name.last": lambda rng: rng.choice(rng.en["last"].split()), "email": email,
    "name.first": lambda rng: rng.choice(rng.en["first"].split()),
    "phone.mobile": mobile_zh, "phone.landline": landline_zh, "phone.us": phone_us, "phone.uk": phone_uk,
    "identity.zh": resident_id, "identity.ssn": ssn, "identity.sin": sin, "identity.nhs": nhs,
    "card.zh": card_zh, "card.en": card_en, "bank-account.iban": iban, "bank-account.number": account,
    "ip.v4": ipv4, "ip.v6": ipv6, "mac": mac, "url": url, "secret.token": secret, "secret.pem": private_key,
    "secret.password": password, "address.zh": address_zh, "address.us": address_us, "address.uk": address_uk,
    "plate.zh": plate_zh, "plate.en": plate_en, "passport.zh": passport_zh, "passport.us": passport_us,
    "driver-license": driver_license, "account.qq": qq, "account.wechat": wechat,
    "birth-date.zh": birth_zh, "birth-date.en": birth_en,
}  # fmt: skip
"""By slot: the kind, and a variant after the point."""
