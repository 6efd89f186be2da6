"""`exchange audit`: the books, re-derived from the topics alone."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from exchange.agencies.levels import Level
from exchange.cli import world as worlds
from exchange.cli.output import ERR, NO, OUT, table
from exchange.ledger import Account, Balance, audit
from exchange.local.progress import on_terminal

FINDINGS_SHOWN = 30


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(run)


def run(context: typer.Context, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Re-read the topics and balance the books; exit 1 and name what is missing or surplus if they don't.

    Example: `exchange audit` · `exchange audit --json | jq .holds`
    """
    world = worlds.of(context)
    with on_terminal(ERR) as report:
        report("Re-reading the topics")
        balance = audit(world.base, world.authority.registrar_public_key)
    if json:
        sys.stdout.write(balance.to_json() + "\n")
    else:
        show(balance)
    if not balance.holds:
        raise typer.Exit(NO)


def show(balance: Balance) -> None:
    """Print the books, and whatever doesn't balance."""
    columns = ("", "submitted", "accepted", "rejected", "duplicate", "set aside", "in flight",
               "recipients", "delivered", "closed", "acknowledged", "waiting")  # fmt: skip
    rows = [_row(kind or "(unreadable)", account) for kind, account in sorted(balance.by_kind.items())]
    rows.append(_row("all", balance.total))
    table("The books", columns, rows, right=columns[1:])
    pairs = sorted(balance.by_levels.items())
    level_rows = [
        (_level(s), _level(r), f"{c.recipients:,}", f"{c.delivered:,}", f"{c.acknowledged:,}", f"{c.waiting:,}")
        for (s, r), c in pairs
    ]
    names = ("sender's level", "recipient's level", "recipients", "delivered", "acknowledged", "waiting")
    table("By level", names, level_rows, right=names[2:])
    read = sum(balance.records_read.values())
    if balance.holds:
        OUT.print(f"[bold green]The books balance.[/] {read:,} records re-read.", highlight=False)
        return
    OUT.print(f"[bold red]The books do not balance.[/] {read:,} records re-read.", highlight=False)
    for code, count in sorted(balance.finding_counts.items()):
        OUT.print(f"  {code}: {count:,}", highlight=False)
    for found in balance.findings[:FINDINGS_SHOWN]:
        OUT.print(f"  {found.code} {found.at.topic}/{found.at.partition}/{found.at.offset} {found.id}: "
                  f"{found.sentence}", markup=False, highlight=False)  # fmt: skip


def _row(name: str, account: Account) -> tuple[str, ...]:
    r, c = account.records, account.copies
    numbers = (r.submitted, r.accepted, r.rejected, r.duplicates, r.set_aside, r.in_flight,
               c.recipients, c.delivered, c.undeliverable, c.acknowledged, c.waiting)  # fmt: skip
    return (name, *(f"{number:,}" for number in numbers))


def _level(level: int) -> str:
    return Level(level).label if level else "–"
