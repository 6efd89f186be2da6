"""`exchange actions`: what the exchange's own people did."""

from __future__ import annotations

from collections import deque
from typing import Annotated

import typer
from rich.markup import escape

from exchange.backbone.actions import Action, read_actions
from exchange.cli import world as worlds
from exchange.cli.output import NO, clock, print_json, table

SHOWN_PLACES = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("actions")(actions)


def actions(
    context: typer.Context,
    what: Annotated[str | None, typer.Option(help="Only what begins like this: account, dead_letters.redrive.")] = None,
    by: Annotated[str | None, typer.Option(help="Only by this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 50,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show who did what, when and why, the latest last: logins, accounts, dead letters sent again.

    Grants, suspensions, erasures and what was set aside are signed entries of the directory; looks are shown by
    `exchange trace`.

    Example: `exchange actions --what account`
    """
    found = deque[tuple[int, Action]](maxlen=limit)
    for append_ms, action in read_actions(worlds.of(context).base):
        if action.what.startswith(what or "") and by in (None, action.by):
            found.append((append_ms, action))
    if json:
        print_json([_fields(append_ms, action) for append_ms, action in found])
    else:
        rows = [
            (clock(append_ms)[:19], action.what, escape(_who(action)), escape(action.reason), escape(_about(action)))
            for append_ms, action in found
        ]
        table(f"{len(found):,} actions", ("when", "what", "who", "why", "about"), rows)
    if not found:
        raise typer.Exit(NO)


def _fields(append_ms: int, action: Action) -> dict[str, object]:
    return {
        "at_ms": append_ms,
        "action": action.id,
        "what": action.what,
        "by": action.by,
        "seconded_by": action.seconded_by,
        "reason": action.reason,
        "about": action.about,
        "places": ["/".join(map(str, place)) for place in action.places],
    }


def _who(action: Action) -> str:
    return action.by if action.seconded_by is None else f"{action.by} and {action.seconded_by}"


def _about(action: Action) -> str:
    told = [f"{name} {value}" for name, value in action.about.items()]
    told += ["/".join(map(str, place)) for place in action.places[:SHOWN_PLACES]]
    if len(action.places) > SHOWN_PLACES:
        told.append(f"and {len(action.places) - SHOWN_PLACES:,} more")
    return ", ".join(told)
