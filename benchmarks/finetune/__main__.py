"""LoRA tuning of a chat model beside TRL with PEFT: speed, memory and losses, each side in a process of its own.

    python benchmarks/finetune MODEL_FOLDER alpaca.json --peer PYTHON_WITH_TRL

Both learn the same answers of the same conversations, each of about 512 tokens, from the same first adapter: every step has
all of them, so that no order of samples has to be agreed on. `--rounds` repeats both in turns, and the best counts.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model folder with a chat template")
    parser.add_argument("data", type=Path, help="Alpaca's format; its texts are joined to conversations of about 512 tokens")
    parser.add_argument("--peer", default=sys.executable, help="a Python that has trl and peft")
    parser.add_argument("--examples", type=int, default=16, help="in a step")
    parser.add_argument("--steps", type=int, default=4, help="after the first, which is not counted")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        data, tokens = _conversations(arguments, Path(folder))
        sides = [
            ("lmcraft", sys.executable, "ours.py", []),
            ("TRL, defaults", arguments.peer, "peer_trl.py", []),
            ("TRL, by hand", arguments.peer, "peer_trl.py", ["--by-hand"]),
        ]
        found: dict[str, list[dict[str, float]]] = {name: [] for name, *_ in sides}
        for number in range(arguments.rounds):
            for name, python, script, more in sides:
                command = [python, HERE / script, arguments.model, data, Path(folder) / "adapter", *more]
                command += ["--steps", str(arguments.steps), "--length", str(arguments.length)]
                done = subprocess.run(
                    [*map(str, command), "--out", f"{folder}/out-{number}"], stdout=subprocess.PIPE, text=True
                )
                if done.returncode:
                    sys.exit(f"{name} failed")
                found[name].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"\n{arguments.examples} conversations, {tokens:,} tokens a step\n")
    print("| side | tokens/s | memory | loss of each step |\n|---|---|---|---|")
    for name, rows in found.items():
        seconds, memory = (min(row[key] for row in rows) for key in ("seconds", "memory"))
        losses = " ".join(f"{loss:.4f}" for loss in rows[0]["losses"])  # type: ignore[attr-defined]
        print(f"| {name} | {tokens / seconds:,.0f} | {memory / 2**30:.2f} GiB | {losses} |")


def _conversations(arguments: argparse.Namespace, folder: Path) -> tuple[Path, int]:
    """Conversations of one question and one answer, and their tokens."""
    from lmcraft import Tokenizer

    tokenizer = Tokenizer.load(arguments.model)
    rows = iter(json.loads(arguments.data.read_text(encoding="utf-8")))
    chosen: list[dict[str, list[dict[str, str]]]] = []
    tokens = 0
    while len(chosen) < arguments.examples:
        asked, length = "", 0
        while length < 0.8 * arguments.length:
            row = next(rows)
            asked = f"{asked}{row['instruction']}\n{row['input']}\n"
            messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]
            length = len(tokenizer.encode(tokenizer.apply_chat_template(messages, False), parse_special=True))
            asked = f"{asked}{row['output']}\n"
        if length <= arguments.length:
            chosen.append({"prompt": messages[:1], "completion": messages[1:]})
            tokens += length
    file = folder / "data.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen), encoding="utf-8")
    return file, tokens


if __name__ == "__main__":
    main()
