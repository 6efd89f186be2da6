"""`exchange simulate`: the nation, by seed."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import typer

from exchange.backbone.submitting import Submitting
from exchange.cli import world as worlds
from exchange.cli.output import ERR, OUT, print_json, table, to_rows
from exchange.cli.world import World
from exchange.local.progress import Report, on_terminal
from exchange.local.simulation.nation import Nation
from exchange.local.simulation.recipients import Recipients


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate")(simulate)


def simulate(
    context: typer.Context,
    documents: Annotated[int, typer.Option(min=1, help="How many records to send.")] = 1_000,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Records a second; as fast as can be by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same traffic; random by default.")] = None,
    bad: Annotated[float, typer.Option(min=0, max=1, help="Share of bad input.")] = 0.02,
    receipts: Annotated[bool, typer.Option(help="Afterwards the recipients read and sign receipts.")] = True,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Send what a nation of real units sends; then its recipients sign receipts.

    Example: `exchange simulate --documents 10000 --rate 1000 --seed 7`
    """
    world = worlds.of(context)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    with on_terminal(ERR) as report:
        nation = make_nation(world, seed, report)
        sent = nation.send(documents, rate, bad)
        signed = sign_receipts(world, nation, report) if receipts else 0
    if json:
        print_json({"seed": seed, "records": sent.records, "seconds": sent.seconds, "expected": sent.expected,
                    "receipts": signed, "example": sent.example[1]})  # fmt: skip
        return
    table(
        f"Sent with seed {seed}; what must become of it", ("outcome", "records"), to_rows(sent.expected), ("records",)
    )
    OUT.print(f"{signed:,} receipts signed. Follow one document: `exchange trace {sent.example[1]}`", highlight=False)


def make_nation(world: World, seed: int, report: Report, run: str | None = None) -> Nation:
    """A nation in this world. `run`: makes its ids differ from those of another run with the same seed."""
    return Nation(
        world.base,
        world.authority,
        world.directory_log,
        world.attachments,
        seed=seed,
        run=run or f"{time.time_ns():x}",
        partitions=world.layout.keyed,
        report=report,
    )


def sign_receipts(world: World, nation: Nation, report: Report) -> int:
    """Let the recipients of the cast read what is in their inboxes now and sign; returns how many they signed."""
    report("Recipients sign receipts")
    recipients = Recipients(world.base, nation.cast, world.opener)
    out, signed = Submitting(world.base), 0
    for signed, receipt in enumerate(recipients.receipts(), 1):
        out.send(receipt)
        report("Recipients sign receipts", signed)
    out.flush()
    return signed
