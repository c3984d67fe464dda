"""The parts of docs/commands/*.md that come from the commands: examples and settings."""

import re
from functools import cache
from pathlib import Path

from lmcraft.commands import COMMANDS
from lmcraft.commands.app import build_app
from lmcraft.commands.examples import EXAMPLES

BLOCKS = ("examples", "settings")


def page_name(command: str) -> str:
    """`guard-check.md` for `guard check`."""
    return f"{command.replace(' ', '-')}.md"


def with_current_blocks(text: str, command: str) -> str:
    """The page of a command with its examples and its table of settings as they are now."""
    blocks = {"examples": f"```sh\n{EXAMPLES[command]}```\n", "settings": settings(command)}
    for name, block in blocks.items():
        marked = re.compile(rf"(<!-- {name}: .*? -->\n).*(<!-- /{name} -->)", re.DOTALL)
        text = marked.sub(lambda match, block=block: f"{match[1]}{block}{match[2]}", text)
    return text


@cache
def settings(command: str) -> str:
    """A Markdown table of each group of the command's settings, from its help."""
    app = build_app()
    for word in command.split():
        app = app[word]
    documentation = app.generate_docs(usage_name=f"lmcraft {command}")
    usage = re.search(r"```console\n(.*?)\n```", documentation, re.DOTALL)
    assert usage is not None
    parts = [f"```text\n{usage[1]}\n```\n"]
    for title, items in re.findall(r"^\*\*([^*\n]+)\*\*:\n\n((?:[*] .*(?:\n .*)*\n?)+)", documentation, re.MULTILINE):
        rows = [_row(item) for item in re.split(r"^\* ", items, flags=re.MULTILINE)[1:]]
        parts.append("\n".join([f"| {title.lower()} | |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _row(item: str) -> str:
    names, _, description = " ".join(item.split()).partition("`: ")
    names = re.sub(r", --empty-[\w-]+", "", names)
    description = description.replace("**[required]**", "Required.")
    description = re.sub(r'\*\[default: (?:""|\{\}|\(\)|None)\]\*', "", description)
    description = re.sub(r"\*(\[[^\]]*\])\*", r"\1", description).strip()
    description = re.sub(r"(?<!\\)([|<*_])", r"\\\1", description)
    return f"| {names}` | {description} |"


def update(docs: Path) -> None:
    """Write the current blocks into the pages of both languages."""
    for command in COMMANDS:
        for folder in (docs / "commands", docs / "zh" / "commands"):
            page = folder / page_name(command)
            page.write_text(with_current_blocks(page.read_text(encoding="utf-8"), command), encoding="utf-8")
