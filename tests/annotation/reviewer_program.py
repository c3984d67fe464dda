"""A reviewer as a process of its own, who claims and judges over HTTP whatever happens to the server.

python reviewer_program.py URL KEY JOURNAL SEED LABELS

Each line of the journal is JSON: what the reviewer knows, and when, by a clock that all processes share.
"""

import http.client
import json
import random
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PAUSE_SECONDS = 0.05
TIMEOUT_SECONDS = 30.0


class Reviewer:
    """One person with a key, who writes down each claim and each verdict."""

    def __init__(self, url: str, key: str, journal: TextIO, seed: int) -> None:
        self.url, self.key, self.journal = url, key, journal
        self.random = random.Random(seed)

    def note(self, event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, "time": time.monotonic(), **fields}), file=self.journal, flush=True)

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Status and JSON of an answer, however often the request must be repeated."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        while True:
            try:
                with urlopen(Request(self.url + path, data, headers, method=method), timeout=TIMEOUT_SECONDS) as answer:
                    return answer.status, json.loads(answer.read() or b"null")
            except HTTPError as error:
                if error.code < 500:
                    return error.code, json.loads(error.read() or b"null")
            except (
                URLError,
                http.client.HTTPException,
                OSError,
                ValueError,
            ):  # the server is dead, or died while it answered
                pass
            time.sleep(PAUSE_SECONDS)

    def work(self, labels: list[str], rule: str) -> None:
        """Handle one item, if there is one."""
        status, answer = self.send("POST", "/api/review/claims", {})
        assert status == 200, answer
        if answer["item"] is None:
            time.sleep(PAUSE_SECONDS)
            return
        item, token = answer["item"]["id"], answer["item"]["claim"]["token"]
        self.note("claimed", item=item, token=token)
        action = self.random.choices(["judge", "release", "skip"], [0.9, 0.07, 0.03])[0]
        if action == "release":
            self.note("sent", item=item, token=token, action=action)
            self.send("DELETE", f"/api/review/claims/{token}")
            return
        verdict = f"{self.random.getrandbits(128):032x}"
        body = {"claim": token, "id": verdict, "label": self.random.choice(labels), "rule": rule}
        body = {"claim": token, "reason": "bored"} if action == "skip" else body
        self.note("sent", item=item, token=token, action=action, **{name: body.get(name, "") for name in ("id", "label")})
        path = "skip" if action == "skip" else "verdicts"
        status, answer = self.send("POST", f"/api/review/items/{item}/{path}", body)
        self.note("answered", item=item, token=token, action=action, status=status, id=verdict, answer=answer)


def main() -> None:
    url, key, journal, seed, labels, rule = sys.argv[1:]
    with open(journal, "a", encoding="utf-8") as file:  # noqa: PTH123
        reviewer = Reviewer(url, key, file, int(seed))
        while True:
            reviewer.work(labels.split(","), rule)


if __name__ == "__main__":
    main()
