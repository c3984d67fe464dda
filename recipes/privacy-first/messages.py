"""Messages of patients to a doctor's office, as examples for fine-tuning. Nobody in them exists.

    python recipes/privacy-first/messages.py messages.jsonl [COUNT]

Numbers of accounts have valid checksums; telephone numbers are those that are reserved for fiction, and e-mail addresses end
in domains that are reserved for examples. The same COUNT gives the same messages.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

COUNT = 6000
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
Draw = random.Random


def name(draw: Draw) -> str:
    return f"{draw.choice(FIRST)} {draw.choice(LAST)}"


def phone(draw: Draw) -> str:
    return f"020 7946 0{draw.randrange(1000):03}"


def email(draw: Draw, person: str) -> str:
    user = person.lower().replace(" ", draw.choice("._-"))
    return f"{user}{draw.randrange(10, 99)}@{draw.choice(('example.com', 'example.org', 'example.net'))}"


def iban(draw: Draw) -> str:
    account = "".join(str(draw.randrange(10)) for _ in range(14))
    bank = draw.choice(("NWBK", "BARC", "MIDL", "LOYD"))
    digits = "".join(str(int(character, 36)) for character in f"{bank}{account}GB00")
    return f"GB{98 - int(digits) % 97:02}{bank}{account}"


def birthday(draw: Draw) -> str:
    return f"{draw.randrange(1, 29):02}/{draw.randrange(1, 13):02}/{draw.randrange(1940, 2005)}"


def address(draw: Draw) -> str:
    return f"{draw.randrange(1, 200)} {draw.choice(STREETS)}, {draw.choice(TOWNS)}"


def appointment(draw: Draw) -> str:
    time = draw.choice(("morning", "afternoon"))
    return f"{draw.choice(PROBLEMS)}. Could I come in on {draw.choice(DAYS)} or {draw.choice(DAYS)} {time}?"


def prescription(draw: Draw) -> str:
    dose = f"{draw.choice(DRUGS)}, {draw.randrange(5, 200, 5)} mg, {draw.choice(('once', 'twice'))} a day"
    return f"I need a new prescription for {dose}. I have {draw.choice(('two', 'three', 'five'))} tablets left."


def invoice(draw: Draw) -> str:
    return (
        f"I paid invoice {draw.randrange(10**5, 10**6)} of £{draw.randrange(20, 300)} twice. "
        f"Please send the money back to my account {iban(draw)}."
    )


def results(draw: Draw) -> str:
    return f"has my {draw.choice(TESTS)} from {draw.choice(DAYS)} come back? My date of birth is {birthday(draw)}."


def move(draw: Draw) -> str:
    return f"we have moved. Our new address is {address(draw)}. Please change it in my records."


TOPICS: dict[str, Callable[[Draw], str]] = {
    "an appointment": appointment,
    "a prescription": prescription,
    "an invoice": invoice,
    "test results": results,
    "a new address": move,
}


def message(draw: Draw) -> tuple[str, str]:
    """The topic and the text of a message."""
    topic, person = draw.choice(list(TOPICS)), name(draw)
    greeting = draw.choice(("Hello", "Dear Dr. " + draw.choice(LAST), "Good morning", "Hi"))
    contact = draw.choice((f"You can call me on {phone(draw)}", f"Please write to {email(draw, person)}"))
    thanks = draw.choice(("Thank you", "Many thanks", "Kind regards", "Best wishes"))
    return topic, f"{greeting}, {TOPICS[topic](draw)} {contact}. {thanks}, {person}"


def messages(count: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """Examples for fine-tuning, each other than those before it."""
    draw, seen = random.Random(seed), set()
    while len(seen) < count:
        topic, text = message(draw)
        if text not in seen:
            seen.add(text)
            yield {"prompt": f"Write a patient's message about {topic}.", "answer": text}


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or (len(sys.argv) == 3 and not sys.argv[2].isdecimal()):
        sys.exit(__doc__)
    rows = messages(int(sys.argv[2]) if len(sys.argv) == 3 else COUNT)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    Path(sys.argv[1]).write_text(lines, encoding="utf-8")
