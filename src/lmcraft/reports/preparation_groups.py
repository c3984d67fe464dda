"""What a preparation did to the groups of each attribute: their shares before and after, and what was lost."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lmcraft.reports.chart import BOTTOM, NAME_WIDTH, RIGHT, ROW_HEIGHT, TOP, WIDTH, draw_text, figure
from lmcraft.reports.language import say
from lmcraft.reports.table import html_table
from lmcraft.terminal import format_bytes

LABEL_WIDTH = 130  # right of the bars
Groups = Mapping[str, Mapping[str, Any]]


def groups_section(attributes: Mapping[str, Groups]) -> str:
    """A chart and a table for each attribute; nothing if no stage has noted one."""
    if not attributes:
        return ""
    note = say("A document can belong to several groups of one attribute. Shares are of the text in all groups.")
    parts = [f"<h3>{say('What was lost, by group')}</h3><p>{note}</p>"]
    for attribute, groups in attributes.items():
        parts += [f"<h4>{escape(attribute)}</h4>", _chart(groups), _table(groups)]
    return "".join(parts)


def _chart(groups: Groups) -> str:
    """Two bars for each group: its share of the text before and after."""
    before, after = _shares(groups, "before"), _shares(groups, "after")
    longest = max(*before.values(), *after.values(), 1e-9)
    scale = (WIDTH - NAME_WIDTH - LABEL_WIDTH - RIGHT) / longest
    names = sorted(groups, key=lambda group: (-before[group], group))
    height = TOP + ROW_HEIGHT * len(names) + BOTTOM // 2
    label = say("Share of text before and after")
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">']
    half = ROW_HEIGHT / 2 - 3
    for n, name in enumerate(names):
        y = TOP + ROW_HEIGHT * n
        parts.append(draw_text(NAME_WIDTH - 8, y + 16, name, "end", NAME_WIDTH - 8))
        for style, shares, top in (("b", before, y + 2), ("a", after, y + 3 + half)):
            title = f"{say('came in') if style == 'b' else say('kept')}: {shares[name]:.1%}"
            position = f'x="{NAME_WIDTH}" y="{top:.1f}" width="{shares[name] * scale:.1f}" height="{half:.1f}"'
            parts.append(f'<rect class="{style}" {position}><title>{escape(title)}</title></rect>')
        text = f"{before[name]:.1%} → {after[name]:.1%}"
        parts.append(draw_text(NAME_WIDTH + max(before[name], after[name]) * scale + 8, y + 16, text, "start", LABEL_WIDTH))
    return figure("".join([*parts, "</svg>"]))


def _shares(groups: Groups, moment: str) -> dict[str, float]:
    whole = sum(group[moment]["bytes"] for group in groups.values())
    return {name: group[moment]["bytes"] / whole if whole else 0.0 for name, group in groups.items()}


def _table(groups: Groups) -> str:
    stages = list(dict.fromkeys(stage for group in groups.values() for stage in group["removed"]))
    rows = [_row(name, groups[name], stages) for name in sorted(groups, key=lambda name: -groups[name]["before"]["bytes"])]
    head = [say("group"), say("came in"), say("kept"), say("lost")]
    return html_table([*head, *(say("removed by {stage}", stage=stage) for stage in stages)], rows)


def _row(name: str, group: Mapping[str, Any], stages: Sequence[str]) -> list[str]:
    before, after = group["before"], group["after"]
    lost = 1 - after["bytes"] / before["bytes"] if before["bytes"] else 0.0
    removed = [f"{group['removed'].get(stage, {}).get('documents', 0):,}" for stage in stages]
    return [name, _size(before), _size(after), f"{lost:.1%}", *removed]


def _size(counts: Mapping[str, int]) -> str:
    return say("{n} documents, {size}", n=f"{counts['documents']:,}", size=format_bytes(counts["bytes"]))
