"""A judge whose decisions a test knows: words of a text say what happens. Run as a program, it takes the place of
`lmcraft.moderation.judge_program`, and starts faster.

The words are the actions "flag", "review", "redact" (that word is redacted) and "refuse"; "vague" is refused, but names no
passage. The program never answers a text with "hang", ends at one with "crash", and takes a moment for one with "wait".
"""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

CATEGORIES = {"flag": "spam", "review": "illicit", "redact": "profanity", "refuse": "violence", "vague": "threat"}
ACTIONS = {word: "refuse" if word == "vague" else word for word in CATEGORIES}
ORDER = ("allow", "flag", "review", "redact", "refuse")
POLICY = """
name = "scripted"
refusal = {en = "I refuse.", zh = "我拒绝。"}
tiers = {lexicons = ["en"]}
""" + "".join(
    f'[categories.{category}]\ntraining = "{ACTIONS[word]}"\nprompt = "{ACTIONS[word]}"\nanswer = "{ACTIONS[word]}"\n'
    for word, category in CATEGORIES.items()
)


def write_policy(folder: Path) -> Path:
    """The policy of the judge, as a file."""
    file = folder / "policy.toml"
    file.write_text(POLICY, encoding="utf-8")
    return file


def decide(text: str, stage: str, policy: str) -> dict[str, Any]:
    """The decision record."""
    matches = [(match[0], match) for match in re.finditer("|".join(CATEGORIES), text)]
    findings = [
        {"category": CATEGORIES[word], "score": 0.9, "tier": "lexicon", "reason": f"the word '{word}'"}
        | ({} if word == "vague" else {"start": match.start(), "end": match.end()})
        for word, match in matches
    ]
    return {
        "stage": stage,
        "action": max((ACTIONS[word] for word, _ in matches), key=ORDER.index, default="allow"),
        "reason": "scripted",
        "categories": sorted({CATEGORIES[word] for word, _ in matches}),
        "scores": {finding["category"]: 0.9 for finding in findings},
        "findings": findings,
        "policy": policy,
        "tiers": ["lexicon"],
    }


def main() -> None:
    """Judge the texts from standard input, by the policy with the identity of the first argument."""
    print(json.dumps({"fingerprint": {"policy": sys.argv[1]}}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "crash" in request["text"]:
            os._exit(7)
        time.sleep(1000 if "hang" in request["text"] else 0.02 if "wait" in request["text"] else 0)
        record = decide(request["text"], request["stage"], sys.argv[1])
        print(json.dumps({"id": request["id"], "decision": record}), flush=True)


if __name__ == "__main__":
    main()
