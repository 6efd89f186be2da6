"""`exchange publish`: sign files from disk and send them."""

from __future__ import annotations

import mimetypes
import uuid
from pathlib import Path
from typing import Annotated

import typer

from exchange.backbone.attachments import Stored
from exchange.backbone.submitting import Outgoing, Submitting, Taken
from exchange.cli import world as worlds
from exchange.cli.output import ERR, OUT, clock, print_json
from exchange.cli.world import World
from exchange.local.enrolment import enrol
from exchange.local.founding import now_ms
from exchange.local.progress import on_terminal
from exchange.pipeline.routing import day_of
from exchange.signatures import sign_batch, sign_record
from exchange.statements import DOCUMENT, Fields
from exchange.statements.compose import attachment, document, encode


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("publish")(publish)


def publish(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, help="Files to send.")],
    sender: Annotated[str, typer.Option("--from", help="Code of the sending unit.")],
    to: Annotated[str, typer.Option("--to", help="Codes or @groups, separated by commas.")],
    subject: Annotated[str, typer.Option(help="What it is about (trích yếu).")],
    information: Annotated[str, typer.Option(help="For information only: codes or @groups.")] = "",
    number: Annotated[str, typer.Option(help="Number and notation (số, ký hiệu).")] = "1/CV",
    type_: Annotated[str, typer.Option("--type", help="Type of Decree 30/2020: CV, QĐ, TB …")] = "CV",
    urgency: Annotated[int, typer.Option(min=0, max=4, help="0 normal … 4 timed express; 1 and up go first.")] = 0,
    each: Annotated[bool, typer.Option("--each", help="One document a file, not one with all files.")] = False,
    batch_sign: Annotated[bool, typer.Option(help="One signature for all documents (with --each).")] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Sign real files from disk, send them, and print the documents' ids.

    Example: `exchange publish plan.pdf --from H26 --to G22,H29 --subject "Kế hoạch 2022"`
    """
    world = worlds.of(context)
    code = _code_of(world, sender)
    key = enrol(world.authority, world.base, world.directory_log, code)
    stored = _store(world, files)
    parcels = [[one] for one in stored] if each else [stored]
    notation = number.partition("/")
    documents = [
        _document(code, parcel, (to, information), subject, (notation[0], notation[2] or "CV"), type_, urgency)
        for parcel in parcels
    ]
    for fields in documents:
        DOCUMENT.check(fields)
    raws = [encode("document", fields) for fields in documents]
    storage = [[receipt._asdict() for _, receipt in parcel] for parcel in parcels]
    if batch_sign:
        records = sign_batch(raws, key, code, now_ms(), storage=storage)
    else:
        records = [sign_record(raw, [key], receipts) for raw, receipts in zip(raws, storage, strict=True)]
    taken: list[Taken] = []
    outgoing = [Outgoing("document", f, r) for f, r in zip(documents, records, strict=True)]
    Submitting(world.base).submit(outgoing, taken.append)
    if json:
        print_json([one._asdict() for one in taken])
        return
    for one in taken:
        OUT.print(
            f"[bold]{one.id}[/]  {one.topic}/{one.partition}/{one.offset}  {clock(one.append_ms)}", highlight=False
        )
    OUT.print(f"Follow it with `exchange trace {taken[0].id}`.", highlight=False)


def _store(world: World, files: list[Path]) -> list[tuple[Path, Stored]]:
    """Put the files into the object store, showing how far it is."""
    stored = []
    with on_terminal(ERR) as report:
        for path in files:
            step, total = f"Storing {path.name}", path.stat().st_size
            stored.append((path, world.attachments.put(path, lambda done: report(step, done, total))))  # noqa: B023
    return stored


def _code_of(world: World, code: str) -> str:
    agency = world.directory_log.directory.latest().agency(code)
    if agency is None:
        raise typer.BadParameter(f"no unit has the code {code}", param_hint="--from")
    return agency.code


def _document(
    sender: str,
    parcel: list[tuple[Path, Stored]],
    addresses: tuple[str, str],
    subject: str,
    code: tuple[str, str],
    type_: str,
    urgency: int,
) -> Fields:
    now = now_ms()
    to, information = ([c.strip() for c in text.split(",") if c.strip()] for text in addresses)
    return document(
        sender,
        str(uuid.uuid4()),
        to,
        subject,
        signed_ms=now,
        issued=day_of(now),
        information=information,
        code=code,
        type_=type_,
        urgency=urgency,
        attachments=[
            attachment(path.name, mimetypes.guess_type(path.name)[0] or "application/octet-stream",
                       receipt.size, receipt.sha256)
            for path, receipt in parcel
        ],
    )  # fmt: skip
