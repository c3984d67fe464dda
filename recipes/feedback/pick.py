"""A user with one wish, short answers, who picks the better of two answers on a server's chat page 40 times.

    python recipes/feedback/pick.py http://127.0.0.1:8000 MODEL [SECOND_MODEL]

Asks each question twice and keeps both answers as a conversation of the chat page, with the pick. Without SECOND_MODEL, both
answers are MODEL's. Prints how often each model was picked.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import Request, urlopen

TOPICS = [
    *(
        "rainbows",
        "volcanoes",
        "tides",
        "bread",
        "bicycles",
        "bees",
        "glaciers",
        "printing presses",
        "coral reefs",
        "chess games",
    ),
    *(
        "earthquakes",
        "deserts",
        "vaccines",
        "comets",
        "owls",
        "tea gardens",
        "railways",
        "dreams",
        "lighthouses",
        "computers",
    ),
]
QUESTIONS = [question.format(topic) for topic in TOPICS for question in ("Tell me about {}.", "Why do {} matter?")]
ROUNDS = {"first": QUESTIONS[::2] + QUESTIONS[1::2], "again": [f"What should I know about {topic}?" for topic in TOPICS] * 2}
MAX_TOKENS = 300
STREAMS = 4


def call(server: str, method: str, path: str, body: Any = None) -> Any:
    """The JSON that the server answers."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(server + path, data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=600) as response:
        return json.load(response)


def pick(server: str, question: str, models: list[str], seed: int) -> str:
    """Ask both models, keep the conversation, pick the shorter answer; returns the model that was picked."""
    messages = [{"role": "user", "content": question}]
    conversation = call(server, "POST", "/api/conversations", {"title": question, "model": models[0]})["id"]
    address = f"/api/conversations/{conversation}/messages"
    parent = call(server, "POST", address, {"role": "user", "content": question, "parent": None})["id"]
    answers = []
    for n, model in enumerate(models):
        body = {"model": model, "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0.8, "seed": 2 * seed + n}
        content = call(server, "POST", "/v1/chat/completions", body)["choices"][0]["message"]["content"]
        answers.append(
            call(server, "POST", address, {"role": "assistant", "content": content, "parent": parent, "model": model})
        )
    chosen, rejected = sorted(answers, key=lambda answer: len(answer["content"]))
    call(server, "POST", "/api/preferences", {"chosen": chosen["id"], "rejected": rejected["id"], "reason": "shorter"})
    return str(chosen["model"])


def main() -> None:
    """Pick 40 times."""
    server, model, *second = sys.argv[1:]
    models = [model, second[0] if second else model]
    questions = ROUNDS["again" if second else "first"]
    with ThreadPoolExecutor(STREAMS) as pool:
        picked = list(pool.map(lambda n: pick(server, questions[n], models, n), range(len(questions))))
    for name in dict.fromkeys(models):
        print(f"{name}: {picked.count(name)} of {len(picked)} picks")


if __name__ == "__main__":
    main()
