"""`exchange throughput units`: who exchanges and who doesn't, who is silent, who is slow to acknowledge."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from exchange.agencies.levels import Level
from exchange.cli import world as worlds
from exchange.cli.output import Json, print_json, table
from exchange.errors import Rejected
from exchange.local.founding import now_ms
from exchange.views.coverage import DAYS, Coverage, Unit, open_units, read
from exchange.views.trace_store import TraceStore

HOUR_MS = 3_600_000

_LEVELS = {level.label: level for level in Level}
_PERIODS = tuple(f"{days} d" for days in DAYS)


def units(
    context: typer.Context,
    subtree: Annotated[str | None, typer.Option(metavar="CODE", help="Only this unit and all below it.")] = None,
    level: Annotated[str | None, typer.Option(help=f"Only units of this level: {', '.join(_LEVELS)}.")] = None,
    silent: Annotated[bool, typer.Option("--silent", help=f"Only who sent nothing in {DAYS[-1]} days.")] = False,
    slow: Annotated[
        int | None,
        typer.Option(min=0, metavar="HOURS", help="Only who takes longer on average to sign a receipt, slowest first."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show which units sent and received in the last day, week and month: one by one, or by what is right below one.

    Without --silent, --slow or --level it shows the units right below one, each with all below it. A unit counts as
    active if it sent or received.

    Example: `exchange throughput units --subtree H26` · `exchange throughput units --silent --level district` ·
    `exchange throughput units --slow 48`
    """
    if level is not None and level not in _LEVELS:
        raise typer.BadParameter(f"{level!r} is none of {', '.join(_LEVELS)}", param_hint="--level")
    world = worlds.of(context)
    view, at_ms = world.directory_log.directory.latest(), now_ms()
    found = read(TraceStore(world.database_url), open_units(view, at_ms), at_ms)
    top = None
    if subtree is not None:
        agency = view.agency(subtree)
        if agency is None or agency.code not in found.units:
            raise Rejected("agency.unknown", subtree[:40])
        top = agency.code
    if not silent and slow is None and level is None:
        _show_below(found, top, limit, json=json)
        return
    chosen = [
        unit
        for unit in found.within(top)
        if (level is None or unit.level == _LEVELS[level])
        and (not silent or unit.is_silent)
        and (slow is None or (unit.delay_ms or 0) > slow * HOUR_MS)
    ]
    if slow is not None:
        chosen.sort(key=lambda unit: (-(unit.delay_ms or 0), unit.code))
    if json:
        print_json(_as_json(found, chosen[:limit], len(chosen)))
        return
    rows = [
        (unit.code, unit.name, *unit.sent, *unit.received, _hours(unit.delay_ms), f"{unit.waiting:,}")
        for unit in chosen[:limit]
    ]
    heads = (*(f"sent {one}" for one in _PERIODS), *(f"received {one}" for one in _PERIODS), "to receipt", "waiting")
    table(_title(chosen, limit), ("code", "name", *heads), rows, heads)


def _show_below(found: Coverage, top: str | None, limit: int, *, json: bool) -> None:
    below = found.children.get(top, [])
    if top is None and len(below) == 1:
        top = below[0].code
    shown = [*([] if top is None else [found.units[top]]), *(found.children.get(top, []))]
    if json:
        print_json(_as_json(found, shown[:limit], len(shown)))
        return
    heads = ("units", *(f"active {one}" for one in _PERIODS))
    rows = [
        (unit.code, unit.name, f"{unit.below:,}", *(f"{count / unit.below:.1%}" for count in unit.active))
        for unit in shown[:limit]
    ]
    table(_title(shown, limit), ("code", "name", *heads), rows, heads)


def _title(chosen: list[Unit], limit: int) -> str:
    return f"{len(chosen):,} units" + (f", the first {limit}" if len(chosen) > limit else "")


def _hours(ms: float | None) -> str:
    return "–" if ms is None else f"{ms / HOUR_MS:.1f} h"


def _as_json(found: Coverage, chosen: list[Unit], count: int) -> Json:
    return {
        "at": datetime.fromtimestamp(found.at_ms / 1000, UTC).isoformat(),
        "days": DAYS,
        "count": count,
        "units": [asdict(unit) for unit in chosen],
    }
