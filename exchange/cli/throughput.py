"""`exchange throughput`: what passed between the levels, by window."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from exchange.agencies.levels import Level
from exchange.cli import world as worlds
from exchange.cli.output import NO, OUT, VIETNAM, Json, print_json, size
from exchange.views.throughput import HISTORY, SIZES, Report, ThroughputStore, report

WATCH_S = 1.0
CODES_SHOWN = 8

_BARS = "▁▂▃▄▅▆▇█"

_LEVELS = tuple(level.label for level in Level)


def _window(name: str) -> str:
    return _one_of(SIZES, name)


def _level(label: str | None) -> str | None:
    return None if label is None else _one_of(_LEVELS, label)


def _one_of(choices: tuple[str, ...], chosen: str) -> str:
    if chosen not in choices:
        raise typer.BadParameter(f"{chosen!r} is none of {', '.join(choices)}")
    return chosen


_Window = Annotated[str, typer.Option(callback=_window, help=f"How long a window is: {', '.join(SIZES)}.")]
_From = Annotated[str | None, typer.Option(callback=_level, help=f"Only what this level sent: {', '.join(_LEVELS)}.")]
_To = Annotated[str | None, typer.Option(callback=_level, help="Only what this level was sent.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("throughput")(show)


def show(
    context: typer.Context,
    window: _Window = SIZES[0],
    from_level: _From = None,
    to_level: _To = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and follow until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show what passed between the levels: the newest window as a matrix, the last sixty as sparklines.

    Exits with 1 if nothing is counted yet, or if the sums have a gap, which is then named.

    Example: `exchange throughput --watch` · `exchange throughput --window hour --from-level province`
    """
    store = ThroughputStore(worlds.of(context).database_url)
    senders = [level for level in Level if from_level is None or level.label == from_level]
    recipients = [level for level in Level if to_level is None or level.label == to_level]
    if watch:
        with Live(console=OUT, auto_refresh=False) as live:
            while True:
                live.update(drawn(report(store, window), senders, recipients), refresh=True)
                time.sleep(WATCH_S)
    found = report(store, window)
    if json:
        print_json(None if found is None else as_json(found, senders, recipients))
    else:
        OUT.print(drawn(found, senders, recipients), highlight=False)
    if found is None or found.gaps:
        raise typer.Exit(NO)


def drawn(found: Report | None, senders: list[Level], recipients: list[Level]) -> RenderableType:
    """A report for the terminal."""
    if found is None:
        return Text("Nothing is counted yet: is `exchange run` running?")
    parts: list[RenderableType] = [
        _matrix(found, senders, recipients), _history(found, senders), Text(_outcomes(found))
    ]  # fmt: skip
    for (topic, partition), gap in found.gaps:
        parts.append(
            Text(
                f"Not counted: {topic}/{partition} offsets {gap.first} to {gap.next - 1}, appended between "
                f"{_clock(gap.from_minute)} and {_clock(gap.until_minute)}; the sums of that time are too small.",
                style="bold red",
            )
        )
    return Group(*parts)


def as_json(found: Report, senders: list[Level], recipients: list[Level]) -> Json:
    """A report for programs. Totals have recipient's level 0, units whose sender is unknown sender's level 0."""
    sender_levels, recipient_levels = {0, *senders}, {0, *recipients}
    if len(senders) < len(Level):
        sender_levels.discard(0)
    return {
        "window": found.size,
        "start": datetime.fromtimestamp(found.start_minute * 60, UTC).isoformat(),
        "open": found.is_open,
        "cells": [
            {**cell._asdict(), **asdict(sums)}
            for cell, sums in found.cells.items()
            if cell.sender_level in sender_levels and cell.recipient_level in recipient_levels
        ],
        "history": {Level(level).label: found.history.get(level, []) for level in senders},
        "gaps": [{"topic": topic, "partition": partition, **gap._asdict()} for (topic, partition), gap in found.gaps],
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
