"""`exchange close-hour`: the backbone states an hour's books, signed, as a report like any other."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from exchange.agencies import BACKBONE_CODE
from exchange.backbone.submitting import Outgoing, Submitting, Taken
from exchange.cli import world as worlds
from exchange.cli.output import ERR, OUT, clock, print_json
from exchange.cli.running import run_to_its_end, stop_on_signals
from exchange.cli.world import World
from exchange.errors import Rejected, Unavailable
from exchange.local.enrolment import enrol
from exchange.local.founding import now_ms
from exchange.local.progress import on_terminal
from exchange.signatures import sign_record
from exchange.statements.compose import attachment, encode
from exchange.statements.hours import Hour
from exchange.views.closing import Books, close

CLOCKS_MS = 5 * 60_000
"""An hour is over so long after its end by our clock, for a broker whose clock is behind."""

_LOOK_S = 30.0
_MEDIA_TYPE = "application/json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("close-hour")(close_hour)


def close_hour(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="HOUR", help="In Vietnam's time, like 2026-11-25T09; else the last one.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Close each hour when it is over, until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """State an hour's books: a report of the backbone's own, with the sums and the ids of whatever is missing.

    An hour may be closed five minutes after its end, once the hop has decided all of it. The same hour again makes the
    same statement, which the exchange recognises.

    Example: `exchange close-hour` · `exchange close-hour 2026-11-25T09` · `exchange close-hour --follow`
    """
    world = worlds.of(context)
    if follow:
        run_to_its_end(lambda: _follow(world))
        return
    hour = Hour.of(now_ms() - CLOCKS_MS).before if name is None else Hour.named(name)
    with on_terminal(ERR) as report:
        report(f"Counting the hour {hour.name}")
        books = counted(world, hour)
        taken = state(world, books)
    if json:
        print_json(taken._asdict() | {"hour": hour.name, "missing": books.missing_count} | books.totals())
        return
    OUT.print(f"[bold]{taken.id}[/]  {taken.topic}/{taken.partition}/{taken.offset}  {clock(taken.append_ms)}")
    counts = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in books.totals().items())
    OUT.print(f"{counts}; {books.missing_count:,} missing.", highlight=False)
    OUT.print(f"Check it with `exchange audit --hour {hour.name}`.", highlight=False)


def counted(world: World, hour: Hour, group: str = "hop") -> Books:
    """The books of an hour that is over.

    Raises: Rejected ``hour.open``: it isn't; Unavailable ``hour.undecided``: the hop is behind.
    """
    over_ms = hour.end_ms + CLOCKS_MS
    if now_ms() < over_ms:
        raise Rejected("hour.open", f"{hour.name} can be closed from {clock(over_ms)} on")
    return close(world.base, hour, group)


def state(world: World, books: Books) -> Taken:
    """Sign and submit the statement of an hour's books; returns the broker's receipt. Raises: Rejected, Unavailable."""
    key = enrol(world.authority, world.base, world.directory_log, BACKBONE_CODE)
    name = f"{books.hour.books_id}.json"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(books.encode())
        stored = world.attachments.put(path)
    fields = books.statement(BACKBONE_CODE, attachment(name, _MEDIA_TYPE, stored.size, stored.sha256))
    record = sign_record(encode("report", fields), [key], [stored._asdict()])
    taken: list[Taken] = []
    Submitting(world.base).submit([Outgoing("report", fields, record)], taken.append)
    return taken[0]


def _follow(world: World) -> None:
    """Close hour after hour, beginning with the last that is over; what was missed before is closed by name."""
    stop = stop_on_signals()
    hour = Hour.of(now_ms() - CLOCKS_MS).before
    while not stop.is_set():
        try:
            taken = state(world, counted(world, hour))
        except Unavailable as exc:
            ERR.print(f"{hour.name}: {exc}", highlight=False)
        except Rejected as exc:
            if exc.code != "hour.open":
                raise
        else:
            OUT.print(f"{taken.id}  {taken.topic}/{taken.partition}/{taken.offset}", highlight=False)
            hour = Hour(hour.end_ms)
            continue
        stop.wait(_LOOK_S)
