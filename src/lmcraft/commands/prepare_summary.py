"""What `lmcraft prepare` prints about a dataset: what stages did, its splits, what was lost, and what waits for review."""

from typing import Any

from lmcraft.commands.review import add_for_review
from lmcraft.folder import DatasetFolder

NUM_EXAMPLES_PRINTED = 3  # of each reason


def print_stages(dataset: DatasetFolder) -> None:
    """A line for each stage, and one for each of its reasons."""
    from lmcraft.terminal import format_bytes

    manifest = dataset.manifest()
    for stage in manifest["stages"]:
        total = stage["total"]
        came_in, removed = total["in"], total["removed"]
        share = removed["bytes"] / max(came_in["bytes"], 1)
        print(
            f"  {stage['name']}: removed {removed['documents']:,} of {came_in['documents']:,} documents, "
            f"{format_bytes(removed['bytes'])} ({share:.1%}); changed {total['changed']['documents']:,}"
        )
        for reason, counts in sorted(total["reasons"].items(), key=lambda reason: -reason[1]["documents"]):
            change = "shorter" if counts["bytes"] >= 0 else "longer"
            print(f"    {reason}: {counts['documents']:,} documents, {format_bytes(abs(counts['bytes']))} {change}")
        for kind, counts in stage.get("personal_data", {}).items():
            print(f"    {kind}: {counts['values']:,} values in {counts['documents']:,} documents")
        for entry in manifest["decontamination"].get(stage["name"], {}).get("not_checked", ()):
            print(f"    task {entry['task']} was not checked: {entry['reason']}")


def print_stage_examples(dataset: DatasetFolder) -> None:
    """The first examples of each reason, in a line each."""
    from collections import Counter
    from gzip import decompress

    from lmcraft.json_lines import parse_json
    from lmcraft.terminal import escape_control_characters

    shown: Counter[tuple[str, str]] = Counter()
    for line in decompress((dataset.path / "stages.jsonl.gz").read_bytes()).splitlines():
        example = parse_json(line)
        reason = (example["stage"], example["reason"])
        shown[reason] += 1
        if shown[reason] <= NUM_EXAMPLES_PRINTED:
            text = " ".join((example["evidence"] or example["excerpt"]).split())
            print(escape_control_characters(f"  {'/'.join(reason)}: {example['name']}:{example['line']}: {text:.100}"))


def print_energy(dataset: DatasetFolder) -> None:
    """What all starts and workers have drawn; nothing if it was not measured."""
    from lmcraft.energy.record import ENERGY_FILE, EnergyRecord
    from lmcraft.energy.recording import describe_row

    if line := describe_row(EnergyRecord.read(dataset.path / ENERGY_FILE).total):
        print(line)


def print_splits(dataset: DatasetFolder) -> None:
    """What each split holds."""
    manifest: dict[str, Any] = dataset.manifest()
    print(f"{dataset.path}: vocabulary of {manifest['vocab_size']:,} tokens")
    for name, split in manifest["splits"].items():
        rate = split["bytes"] / max(split["tokens"], 1)
        print(f"  {name}: {split['documents']:,} documents, {split['tokens']:,} tokens, {rate:.2f} bytes per token")
        if split["lost_bytes"]:
            total = split["bytes"] + split["lost_bytes"]
            print(
                f"    lost: {split['lost_bytes']:,} of {total:,} bytes ({split['lost_bytes'] / total:.1%}) are characters "
                "without a token: use a tokenizer trained on this text, or of type bpe"
            )


def print_losses(dataset: DatasetFolder) -> None:
    """What could not be read."""
    from lmcraft.data.documents import count_noun, describe_losses

    manifest = dataset.manifest()
    for line in describe_losses(manifest, dataset.skipped):
        print(line)
    for reason, count in manifest.get("poisoned", {}).get("reasons", {}).items():
        left_out = count_noun(count, "file or document was", "files or documents were")
        print(f"  {left_out} left out ({reason}): see {dataset.skipped}")


def print_summary(dataset: DatasetFolder) -> None:
    """What a dataset holds, what was lost, and what it has drawn."""
    print_splits(dataset)
    print_losses(dataset)
    print_energy(dataset)
    manifest = dataset.manifest()
    for token, count in manifest["special_spellings"].items():
        times = "once" if count == 1 else f"{count:,} times"
        print(
            f"  the text spells {token!r} {times}; it is read as plain text: split the text there if a document ends there"
        )


def print_set_aside(dataset: DatasetFolder, reviews: str | None) -> None:
    """What waits for a person to review it, which `--reviews` adds to a store."""
    from lmcraft.data.documents import count_noun

    entry = dataset.manifest().get("set_aside")
    if entry is not None:
        documents = count_noun(entry["documents"], "document waits", "documents wait")
        print(f"  {documents} for review in {dataset.path / entry['file']}: add them with `lmcraft review add`")
    if reviews is not None:
        add_for_review(reviews, dataset.path if entry is not None else None)
