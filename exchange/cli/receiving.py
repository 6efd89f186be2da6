"""`exchange inbox`: what an agency received, verified again; files saved byte for byte, receipts signed."""

from __future__ import annotations

import json as jsonlib
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from exchange.backbone.attachments import Attachments
from exchange.backbone.inbox import Inbox, Opener, Received
from exchange.backbone.submitting import Outgoing, Submitting
from exchange.cli import world as worlds
from exchange.cli.output import OUT, Json, clock, size
from exchange.cli.running import stop_on_signals
from exchange.cli.world import World
from exchange.local.enrolment import enrol
from exchange.local.founding import now_ms
from exchange.local.home import write_private
from exchange.signatures import sign_record
from exchange.statements.compose import encode, status
from exchange.statements.status import ARRIVED, CODES


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inbox")(inbox)


def inbox(
    context: typer.Context,
    code: Annotated[str, typer.Argument(help="Code of the receiving unit.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until Ctrl-C.")] = False,
    save: Annotated[Path | None, typer.Option(help="Save attachments into this folder.")] = None,
    acknowledge: Annotated[bool, typer.Option(help="Sign a receipt (01 arrived) for each document.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="From the oldest kept, not from the last read.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Read an inbox; every delivery is verified again by the reader.

    With --save or --acknowledge, what was dealt with isn't shown again.

    Example: `exchange inbox G22 --save received/ --acknowledge`
    """
    world = worlds.of(context)
    agency = world.directory_log.directory.latest().agency(code)
    if agency is None:
        raise typer.BadParameter(f"no unit has the code {code}", param_hint="CODE")
    cursor = _Cursor(world.home.folder / "inboxes" / f"{agency.code}.json")
    start = None if everything else cursor.position
    mailbox, opener = Inbox(world.base, agency, world.layout.inbox), world.opener
    shown, position = 0, start or 0
    for received in _arrivals(mailbox, opener, start, follow=follow):
        saved = _save(world.attachments, received, save) if save is not None else []
        _show(received, saved, as_json=json)
        if acknowledge and received.kind in {"document", "report"}:
            _acknowledge(world, agency.code, received)
        shown, position = shown + 1, received.position
        if save is not None or acknowledge:
            cursor.move(position)
    if not shown and not json:
        OUT.print(f"Nothing new for {agency.name}. `--all` shows what was read before.", highlight=False)


def _arrivals(mailbox: Inbox, opener: Opener, start: int | None, *, follow: bool) -> Iterator[Received]:
    position = start
    for received in mailbox.read(opener, start):
        position = received.position
        yield received
    if follow:
        stop = stop_on_signals()
        yield from mailbox.follow(opener, position, stop.is_set)


def _save(store: Attachments, received: Received, folder: Path) -> list[Path]:
    """Write the attachments; a file appears under its name only once all its bytes are right.

    Doing it again, after a crash, writes the same files.
    """
    place = folder / f"{received.fields['sender']}_{received.fields['id'].replace(':', '-')}"
    saved: list[Path] = []
    for number, attachment in enumerate(received.fields.get("attachments", ()), 1):
        place.mkdir(parents=True, exist_ok=True)
        final = place / _free_name([path.name for path in saved], attachment["name"], number)
        draft = final.with_name(final.name + ".part")
        with draft.open("wb") as target:
            for chunk in store.read(attachment["sha256"], attachment["size"]):
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        draft.replace(final)
        saved.append(final)
    return saved


def _free_name(taken: Sequence[str], name: str, number: int) -> str:
    """The attachment's own name; a second one of the same name in a document gets its number."""
    return f"{number}-{name}" if name in taken or name.startswith(".") else name


def _acknowledge(world: World, code: str, received: Received) -> None:
    key = enrol(world.authority, world.base, world.directory_log, code)
    fields = status(
        code,
        str(uuid.uuid4()),
        received.fields,
        ARRIVED,
        signed_ms=now_ms(),
        document_append_ms=received.append_ms,
        thread=received.thread,
    )
    record = sign_record(encode("status", fields), [key], [])
    Submitting(world.base).submit([Outgoing("status", fields, record)])


def _show(received: Received, saved: list[Path], *, as_json: bool) -> None:
    if as_json:
        fields: Json = {
            "kind": received.kind,
            "append_ms": received.append_ms,
            "inbox_ms": received.inbox_ms,
            "thread": received.thread,
            "statement": received.fields,
            "saved": [str(path) for path in saved],
        }
        OUT.out(jsonlib.dumps(fields, ensure_ascii=False, default=lambda b: b.hex()), highlight=False)
        return
    OUT.print(f"[bold]{clock(received.inbox_ms)}[/]  {_line(received)}", highlight=False, soft_wrap=True)
    for path in saved:
        OUT.print(f"    {path}  {size(path.stat().st_size)}", highlight=False, markup=False)


def _line(received: Received) -> str:
    fields = received.fields
    match received.kind:
        case "document":
            files = len(fields["attachments"])
            return (
                f"{fields['type']} {fields['code_number']}/{fields['code_notation']} from {fields['sender']}: "
                f"{fields['subject']}  [dim]{fields['id']}, {files} file(s)[/]"
            )
        case "status":
            about = fields["document"]
            return f"{fields['code']:02d} {CODES[fields['code']]} from {fields['sender']} about {about['id']}"
        case "report":
            figures = len(fields["figures"])
            return f"report {fields['regime']} {fields['period']} from {fields['sender']}, {figures} figures"
        case _:
            whom = f" ({', '.join(fields['recipients'])})" if fields["recipients"] else ""
            return f"the backbone: {fields['outcome']}, {fields['code']}{whom}, {fields['statement']['id']}"


class _Cursor:
    """Where this unit stopped reading, in a file of the home."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def position(self) -> int | None:
        """The inbox offset to go on from; None at first."""
        if not self._path.is_file():
            return None
        return int(jsonlib.loads(self._path.read_text(encoding="utf-8"))["position"])

    def move(self, position: int) -> None:
        """Remember, atomically."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_private(self._path, jsonlib.dumps({"position": position}))
