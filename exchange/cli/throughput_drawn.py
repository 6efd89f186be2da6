"""The throughput on a terminal: matrix, tables and sparklines; and the same for programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from exchange.agencies import DirectoryView, Level
from exchange.cli.output import VIETNAM, Json, size
from exchange.views.throughput import HISTORY, Doings, Report, TreeReport, percentile

CODES_SHOWN = 8
PARTS_SHOWN = 30
SHARES = (0.5, 0.95, 0.99)
"""The percentiles shown, as shares."""

_BARS = "▁▂▃▄▅▆▇█"


def drawn(found: Report, senders: list[Level], recipients: list[Level]) -> RenderableType:
    """A report for the terminal."""
    parts: list[RenderableType] = [_matrix(found, senders, recipients), _history(found, senders)]
    if found.times:
        parts.append(_times(found, senders))
    return Group(*parts, Text(_outcomes(found)), *_gaps(found))


def below_drawn(found: TreeReport, view: DirectoryView) -> RenderableType:
    """A report of a part of the tree for the terminal."""
    table = Table(
        title=f"{_name(view, found.code)} and all below, {found.size} from {_clock(found.start_minute)} "
        f"({'so far' if found.is_open else 'closed'})",
        title_justify="left",
        header_style="bold",
    )
    table.add_column("of these")
    for name in Doings._fields:
        table.add_column(name, justify="right")
    busiest = sorted(found.parts.items(), key=lambda item: (-item[1].sent - item[1].received, item[0]))
    for code, doings in busiest[:PARTS_SHOWN]:
        table.add_row(_name(view, code), *_counts(doings))
    if busiest[PARTS_SHOWN:]:
        rest = Doings(*map(sum, zip(*(doings for _, doings in busiest[PARTS_SHOWN:]), strict=True)))
        table.add_row(f"{len(busiest) - PARTS_SHOWN} others", *_counts(rest))
    table.add_row("all", *_counts(found.total), style="bold")
    lines = Table.grid(padding=(0, 1))
    lines.title, lines.title_justify = f"In the last {HISTORY} {found.size}s", "left"
    for place, name in enumerate(Doings._fields):
        lines.add_row(name, Text(spark([doings[place] for doings in found.history]), no_wrap=True))
    return Group(table, lines, *_gaps(found))


def below_as_json(found: TreeReport) -> Json:
    """A report of a part of the tree for programs."""
    return {
        "window": found.size,
        "start": _iso(found.start_minute),
        "open": found.is_open,
        "subtree": found.code,
        "total": found.total._asdict(),
        "parts": {code: doings._asdict() for code, doings in sorted(found.parts.items())},
        "history": [doings._asdict() for doings in found.history],
        "gaps": _gaps_as_json(found),
    }


def _name(view: DirectoryView, code: str) -> str:
    agency = view.agency(code)
    return code if agency is None else f"{code} {agency.name}"


def _counts(doings: Doings) -> list[str]:
    return [f"{count:,}" if count else "–" for count in doings]


def _gaps(found: Report | TreeReport) -> list[RenderableType]:
    return [
        Text(
            f"Not counted: {topic}/{partition} offsets {gap.first} to {gap.next - 1}, appended between "
            f"{_clock(gap.from_minute)} and {_clock(gap.until_minute)}; the sums of that time are too small.",
            style="bold red",
        )
        for (topic, partition), gap in found.gaps
    ]


def _gaps_as_json(found: Report | TreeReport) -> list[Json]:
    return [{"topic": topic, "partition": partition, **gap._asdict()} for (topic, partition), gap in found.gaps]


def _times(found: Report, senders: list[Level]) -> Table:
    """How long it took, percentile by percentile; each median of the windows before as a sparkline."""
    lines = Table.grid(padding=(0, 2))
    lines.title, lines.title_justify = f"At most, for 50, 95 and 99 in a hundred; medians of the last {HISTORY}", "left"
    for measure in sorted(found.times):
        what, topic, level = measure
        if what == "receipt" and Level(level) not in senders:
            continue
        label = f"hop, {topic}" if what == "latency" else f"receipt from {Level(level).label}"
        counts = found.times[measure]
        shown = [_duration(percentile(counts, share) or 0) for share in SHARES]
        line = Text(spark(found.medians[measure]), no_wrap=True)
        lines.add_row(label, f"{sum(counts.values()):,} ×", *shown, line)
    return lines


def _duration(ms: int) -> str:
    """A time for people."""
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms >= length:
            return f"{ms / length:.1f} {unit}"
    return f"{ms} ms"


def _iso(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).isoformat()


def as_json(found: Report, senders: list[Level], recipients: list[Level]) -> Json:
    """A report for programs. Totals have recipient's level 0, units whose sender is unknown sender's level 0."""
    sender_levels, recipient_levels = {0, *senders}, {0, *recipients}
    if len(senders) < len(Level):
        sender_levels.discard(0)
    return {
        "window": found.size,
        "start": _iso(found.start_minute),
        "open": found.is_open,
        "cells": [
            {**cell._asdict(), **asdict(sums)}
            for cell, sums in found.cells.items()
            if cell.sender_level in sender_levels and cell.recipient_level in recipient_levels
        ],
        "history": {Level(level).label: found.history.get(level, []) for level in senders},
        "times": [
            {
                "measure": what,
                "topic": topic,
                "level": level,
                "counted": sum(counts.values()),
                **{f"p{round(100 * share)}_ms": percentile(counts, share) for share in SHARES},
            }
            for (what, topic, level), counts in sorted(found.times.items())
            if what != "receipt" or level in sender_levels
        ],
        "gaps": _gaps_as_json(found),
    }


def spark(counts: list[int]) -> str:
    """A line of bars as high as the counts, the highest full; a space for none."""
    most = max(counts, default=0)
    return "".join(_BARS[(count * len(_BARS) - 1) // most] if count else " " for count in counts)


def _matrix(found: Report, senders: list[Level], recipients: list[Level]) -> Table:
    state = "so far" if found.is_open else "closed"
    drawn_table = Table(
        title=f"Documents and reports by level, {found.size} from {_clock(found.start_minute)} ({state})",
        title_justify="left",
        header_style="bold",
    )
    drawn_table.add_column("from \\ to")
    for recipient in recipients:
        drawn_table.add_column(recipient.label, justify="right")
    for name in ("documents", "copies", "attached"):
        drawn_table.add_column(name, justify="right")
    for sender in senders:
        cells = [found.between(sender, recipient).documents for recipient in recipients]
        total = found.between(sender, 0)
        drawn_table.add_row(
            sender.label, *(f"{count:,}" if count else "–" for count in cells),
            f"{total.documents:,}", f"{total.deliveries:,}", size(total.bytes),
        )  # fmt: skip
    return drawn_table


def _history(found: Report, senders: list[Level]) -> Table:
    lines = Table.grid(padding=(0, 1))
    for sender in senders:
        lines.add_row(sender.label, Text(spark(found.history.get(sender, [])), no_wrap=True))
    lines.title, lines.title_justify = f"Sent in the last {HISTORY} {found.size}s", "left"
    return lines


def _outcomes(found: Report) -> str:
    counts = sorted(found.by_outcome().items(), key=lambda item: -item[1])
    named = [f"{count:,} × {' '.join(filter(None, what))}" for what, count in counts[:CODES_SHOWN]]
    hidden = sum(count for _, count in counts[CODES_SHOWN:])
    return "All submissions: " + ", ".join([*named, *([f"{hidden:,} others"] if hidden else [])])


def _clock(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, VIETNAM).strftime("%Y-%m-%d %H:%M")
