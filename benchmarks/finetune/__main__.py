"""LoRA fine-tuning of a chat model, compared with TRL and PEFT: speed, memory and losses, each in its own process.

    python benchmarks/finetune MODEL_FOLDER alpaca.json --peer PYTHON_WITH_TRL

Both train on the same conversations of about 512 tokens each, starting from the same adapter. Every step contains all of
them, so the order of the samples does not matter. `--rounds` repeats both in turn, and the best round counts.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

FOLDER = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model folder with a chat template")
    parser.add_argument(
        "data", type=Path, help="file in Alpaca's format; its texts are joined into conversations of about 512 tokens"
    )
    parser.add_argument("--peer", default=sys.executable, help="a Python that has trl and peft")
    parser.add_argument("--examples", type=int, default=16, help="examples per step")
    parser.add_argument("--steps", type=int, default=4, help="steps after the first, which is not counted")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        data, tokens = _write_conversations(arguments, Path(folder))
        sides = [
            ("lmcraft", sys.executable, "ours.py", []),
            ("TRL, defaults", arguments.peer, "peer_trl.py", []),
            ("TRL, by hand", arguments.peer, "peer_trl.py", ["--by-hand"]),
        ]
        results: dict[str, list[dict[str, float]]] = {name: [] for name, *_ in sides}
        for number in range(arguments.rounds):
            for name, python, script, extra in sides:
                command = [python, FOLDER / script, arguments.model, data, Path(folder) / "adapter", *extra]
                command += ["--steps", str(arguments.steps), "--length", str(arguments.length)]
                process = subprocess.run(
                    [*map(str, command), "--out", f"{folder}/out-{number}"], stdout=subprocess.PIPE, text=True
                )
                if process.returncode:
                    sys.exit(f"{name} failed")
                results[name].append(json.loads(process.stdout.splitlines()[-1]))
    print(f"\n{arguments.examples} conversations, {tokens:,} tokens per step\n")
    print("| side | tokens/s | memory | loss of each step |\n|---|---|---|---|")
    for name, rows in results.items():
        seconds, memory = (min(row[key] for row in rows) for key in ("seconds", "memory"))
        losses = " ".join(f"{loss:.4f}" for loss in rows[0]["losses"])  # type: ignore[attr-defined]
        print(f"| {name} | {tokens / seconds:,.0f} | {memory / 2**30:.2f} GiB | {losses} |")


def _write_conversations(arguments: argparse.Namespace, folder: Path) -> tuple[Path, int]:
    """Write conversations of one question and one answer; returns the file and its number of tokens."""
    from lmcraft import Tokenizer

    tokenizer = Tokenizer.load(arguments.model)
    rows = iter(json.loads(arguments.data.read_text(encoding="utf-8")))
    conversations: list[dict[str, list[dict[str, str]]]] = []
    tokens = 0
    while len(conversations) < arguments.examples:
        prompt, length = "", 0
        while length < 0.8 * arguments.length:
            row = next(rows)
            prompt = f"{prompt}{row['instruction']}\n{row['input']}\n"
            messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": row["output"]}]
            length = len(tokenizer.encode(tokenizer.apply_chat_template(messages, False), parse_special=True))
            prompt = f"{prompt}{row['output']}\n"
        if length <= arguments.length:
            conversations.append({"prompt": messages[:1], "completion": messages[1:]})
            tokens += length
    file = folder / "data.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in conversations), encoding="utf-8")
    return file, tokens


if __name__ == "__main__":
    main()
