"""Messages of patients to a doctor's office. Nobody in them exists.

    python recipes/privacy-first/messages.py messages.jsonl [COUNT]

Account numbers have valid checksums, telephone numbers are among those that are reserved for fiction, and e-mail addresses
end in domains that are reserved for examples. The same COUNT gives the same messages.
"""

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COUNT = 8000
FIRST = [
    "Ana",
    "Ben",
    "Carla",
    "David",
    "Elena",
    "Farid",
    "Grace",
    "Hana",
    "Ivan",
    "Julia",
    "Karim",
    "Laura",
    "Marco",
    "Nadia",
    "Omar",
    "Paula",
    "Quinn",
    "Rosa",
    "Samir",
    "Tara",
]
LAST = [
    "Abbott",
    "Berger",
    "Costa",
    "Dumont",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Hoffman",
    "Iqbal",
    "Jensen",
    "Keller",
    "Lopez",
    "Moreau",
    "Novak",
    "Okafor",
    "Petrov",
]
STREETS = [
    "Mill Lane",
    "Station Road",
    "Church Street",
    "Park Avenue",
    "Oak Drive",
    "Harbour Street",
    "Castle Hill",
    "Garden Road",
]
TOWNS = ["Bristol", "Leeds", "Cork", "Dublin", "Exeter", "Galway", "Derby", "Norwich"]
DRUGS = ["ibuprofen", "metformin", "lisinopril", "sertraline", "omeprazole", "levothyroxine", "salbutamol", "amoxicillin"]
PROBLEMS = [
    "my knee hurts when I climb the stairs",
    "I have had a cough for two weeks",
    "the rash on my arm has come back",
    "I cannot sleep more than four hours a night",
    "my back has been stiff since I moved house",
    "I feel dizzy when I stand up quickly",
    "the headaches start every afternoon",
    "my ear has been ringing since Sunday",
]
TESTS = ["blood test", "X-ray", "allergy test", "hearing test", "blood pressure log", "ultrasound"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]


@dataclass(frozen=True)
class Message:
    """A message, and the personal data in it."""

    text: str
    values: tuple[str, ...]


def messages(count: int = COUNT, seed: int = 0) -> Iterator[Message]:
    """Different messages."""
    draw = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        message = write(draw)
        if message.text not in seen:
            seen.add(message.text)
            yield message


def write(draw: random.Random) -> Message:
    """A message by a new person."""
    name = f"{draw.choice(FIRST)} {draw.choice(LAST)}"
    user = name.lower().replace(" ", draw.choice("._-"))
    email = f"{user}{draw.randrange(10, 99)}@{draw.choice(('example.com', 'example.org', 'example.net'))}"
    phone = f"020 7946 0{draw.randrange(1000):03}"
    address = f"{draw.randrange(1, 200)} {draw.choice(STREETS)}, {draw.choice(TOWNS)}"
    birthday = f"{draw.randrange(1, 29):02}/{draw.randrange(1, 13):02}/{draw.randrange(1940, 2005)}"
    account = iban(draw)
    drug, days = draw.choice(DRUGS), draw.sample(DAYS, 2)
    body = draw.choice(
        (
            f"{draw.choice(PROBLEMS)}. Could I come in on {days[0]} or {days[1]} {draw.choice(('morning', 'afternoon'))}?",
            f"I need a new prescription for {drug}, {draw.randrange(5, 200, 5)} mg, {draw.choice(('once', 'twice'))} a day. "
            f"I have {draw.choice(('two', 'three', 'five'))} tablets left.",
            f"I paid invoice {draw.randrange(10**5, 10**6)} of £{draw.randrange(20, 300)} twice. Please send the money back "
            f"to my account {account}.",
            f"has my {draw.choice(TESTS)} from {days[0]} come back? My date of birth is {birthday}.",
            f"we have moved. Our new address is {address}. Please change it in my records.",
        )
    )
    greeting = draw.choice(("Hello", f"Dear Dr. {draw.choice(LAST)}", "Good morning", "Hi"))
    contact = draw.choice((f"You can call me on {phone}", f"Please write to {email}"))
    thanks = draw.choice(("Thank you", "Many thanks", "Kind regards", "Best wishes"))
    text = f"{greeting}, {body} {contact}. {thanks}, {name}"
    return Message(text, tuple(value for value in (name, email, phone, address, birthday, account) if value in text))


def iban(draw: random.Random) -> str:
    """A British account number with its checksum (ISO 13616)."""
    account = draw.choice(("NWBK", "BARC", "MIDL", "LOYD")) + "".join(str(draw.randrange(10)) for _ in range(14))
    digits = "".join(str(int(character, 36)) for character in f"{account}GB00")
    return f"GB{98 - int(digits) % 97:02}{account}"


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or (len(sys.argv) == 3 and not sys.argv[2].isdecimal()):
        sys.exit(__doc__)
    count = int(sys.argv[2]) if len(sys.argv) == 3 else COUNT
    lines = "".join(json.dumps({"text": message.text}, ensure_ascii=False) + "\n" for message in messages(count))
    Path(sys.argv[1]).write_text(lines, encoding="utf-8")
