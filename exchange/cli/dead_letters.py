"""`exchange dead-letters list | show | redrive`: what was not accepted, and sending it again.

Guarantees: what a letter says is shown only once the look is recorded, with its reason; nothing is sent again without a
forecast of what becomes of it, a reason, and beyond `ALONE_MAX` letters a second person.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from exchange.backbone.accesses import Accesses
from exchange.backbone.actions import Actions
from exchange.backbone.durable import Place
from exchange.cli import world as worlds
from exchange.cli.accountable import REASON_CHARACTERS_MAX, By, Reason, access, one_line, who
from exchange.cli.output import ERR, NO, OUT, VIETNAM, clock, print_json, size, table
from exchange.cli.world import World
from exchange.local.progress import on_terminal
from exchange.operating.dead_letters import Heap, Letter, Selection, erased_places, heaps, picked, read_letters
from exchange.operating.foreseeing import Foreseen, Present, foresee, sendable
from exchange.operating.redriving import ALONE_MAX, RATE_PER_S, RATE_PER_S_MAX, Order, redrive
from exchange.pipeline.books import printable
from exchange.statements import SUBMISSION_TOPICS

app = typer.Typer(no_args_is_help=True, help="What was not accepted, kept with its bytes; and sending it again.")

_PLACE = re.compile(r"([a-z.]+)/([0-9]{1,9})/([0-9]{1,18})", re.ASCII)
DUMPED_BYTES = 1024
BYTES_A_LINE = 16

Code = Annotated[str | None, typer.Option(help="Only those refused by this code.")]
Sender = Annotated[str | None, typer.Option(help="Only those of this unit, if its signature had verified.")]
Since = Annotated[datetime | None, typer.Option(help="Only those that arrived from then on, in Vietnam's time.")]
Until = Annotated[datetime | None, typer.Option(help="Only those that arrived before then.")]
Json = Annotated[bool, typer.Option("--json")]


@app.command("list")
def list_letters(
    context: typer.Context,
    code: Code = None,
    sender: Sender = None,
    since: Since = None,
    until: Until = None,
    json: Json = False,
) -> None:
    """Count dead letters by code and sender. Whose signature hadn't verified counts as nobody's.

    Example: `exchange dead-letters list --since 2026-11-25`
    """
    world = worlds.of(context)
    found = heaps(_read(world, Selection(None, code, sender, _ms(since), _ms(until))))
    if json:
        print_json([_fields(heap) for heap in found])
    else:
        rows = [
            (h.code, h.sender or "–", f"{h.letters:,}", size(h.bytes), clock(h.first_ms)[:19], clock(h.last_ms)[:19],
             _spelled(h.last))
            for h in found
        ]  # fmt: skip
        columns = ("code", "sender", "letters", "bytes", "first", "last", "the last one")
        table(f"{sum(h.letters for h in found):,} dead letters", columns, rows, right=("letters", "bytes"))
    if not found:
        raise typer.Exit(NO)


@app.command("show")
def show(
    context: typer.Context,
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="The submission's.")],
    reason: Reason,
    by: By = None,
    raw: Annotated[Path | None, typer.Option(help="Write the original bytes into this file.")] = None,
    json: Json = False,
) -> None:
    """Show one dead letter: what it says beside its bytes. The look is recorded first.

    Example: `exchange dead-letters show documents/3/4182 --reason "complaint 17/2026"`
    """
    world = worlds.of(context)
    look = access("trace", by, one_line(reason, REASON_CHARACTERS_MAX, "--reason"), f"dead letter {place}")
    wanted = _place(place)
    if wanted in erased_places(world.directory_log.directory.latest()):
        ERR.print(f"{place} is erased, by decision.", markup=False, highlight=False)
        raise typer.Exit(NO)
    letter = next(iter(_read(world, Selection(frozenset([wanted])))), None)
    if letter is None:
        ERR.print(f"No dead letter of {place} is in the topic.", markup=False, highlight=False)
        raise typer.Exit(NO)
    if raw is not None and raw.exists():
        raise typer.BadParameter(f"{raw} is there already", param_hint="--raw")
    Accesses(world.base).record(look, [wanted])
    if raw is not None:
        raw.write_bytes(letter.value)
    said = letter.said
    decoded = None if said is None else {"kind": said.kind, **said.fields}
    if json:
        print_json(_head(letter) | {"said": decoded, "bytes": letter.value})
        return
    for name, value in _head(letter).items():
        OUT.print(f"{name:>16}  {printable(str(value), 500)}", markup=False, highlight=False, soft_wrap=True)
    whose = "" if letter.sender else " (nobody verified that)"
    OUT.print(f"\nWhat it says{whose}:" if decoded else "\nNothing in it can be read.")
    for name, value in (decoded or {}).items():
        OUT.print(f"{name:>16}  {printable(str(value), 500)}", markup=False, highlight=False, soft_wrap=True)
    OUT.print(f"\nIts bytes ({len(letter.value):,}):")
    OUT.print("\n".join(_dump(letter.value[:DUMPED_BYTES])), markup=False, highlight=False, soft_wrap=True)


@app.command("redrive")
def redrive_letters(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; it is recorded for ever.")],
    places: Annotated[
        list[str] | None, typer.Argument(metavar="TOPIC/PARTITION/OFFSET…", help="Only these submissions.")
    ] = None,
    code: Code = None,
    sender: Sender = None,
    since: Since = None,
    until: Until = None,
    by: Annotated[str | None, typer.Option(help="Who decides; by default who is logged in.")] = None,
    seconded_by: Annotated[
        str | None, typer.Option(help=f"Who agrees: needed for more than {ALONE_MAX} letters.")
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=RATE_PER_S_MAX, help="Letters a second.")] = RATE_PER_S,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would become of them now.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json: Json = False,
) -> None:
    """Send dead letters again, byte for byte: those that would be accepted now. Never delivered twice.

    First it tells what would become of each if it came now, by the hop's own decision; the rest stays where it is. If
    you are interrupted, do it again.

    Example: `exchange dead-letters redrive --code sender.suspended --sender H26 --reason "resumed" --dry-run`
    """
    world = worlds.of(context)
    order = Order(one_line(reason, REASON_CHARACTERS_MAX, "--reason"), who(by), seconded_by, rate)
    selection = Selection(frozenset(map(_place, places)) if places else None, code, sender, _ms(since), _ms(until))
    if selection == Selection():
        raise typer.BadParameter("say which: a place, --code, --sender, --since or --until")
    with on_terminal(ERR) as report:
        report("Reading dead letters")
        letters = picked(_read(world, selection))
        report("Foreseeing what becomes of them")
        foreseen = foresee(present_of(world), letters)
    if not json:
        _tell(foreseen)
    fit = sendable(foreseen)
    if dry_run or not fit:
        if json:
            print_json({"sent": 0, "action": None, "foreseen": [_foreseen(one) for one in foreseen]})
        raise typer.Exit(0 if fit else NO)
    if not yes:
        typer.confirm(f"Send {len(fit):,} again?", abort=True, err=True)
    with on_terminal(ERR) as report:
        action = redrive(
            world.base, Actions(world.base), foreseen, order, lambda sent: report("Sending", sent, len(fit))
        )
    if json:
        foretold = [_foreseen(one) for one in foreseen]
        print_json({"sent": len(fit), "action": action.id, "foreseen": foretold})
        return
    OUT.print(f"{len(fit):,} sent again, recorded as {action.id.hex()}. `exchange trace ID` tells of each.",
              highlight=False, soft_wrap=True)  # fmt: skip


def present_of(world: World) -> Present:
    """The exchange as it is now, for forecasts."""
    authority = world.authority
    view = world.directory_log.directory.latest()
    roots, keys = [authority.root_certificate], [authority.storage_key]
    return Present(world.base, world.layout.keyed, world.layout.inbox, view, roots, keys)


def _read(world: World, selection: Selection) -> Iterator[Letter]:
    asked = range(world.layout.keyed)
    if selection.places is not None:
        named = {partition for _, partition, _ in selection.places}
        return read_letters(world.base, [partition for partition in asked if partition in named], selection)
    return read_letters(world.base, asked, selection)


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    if found is None or found[1] not in SUBMISSION_TOPICS:
        hint = f"{text} is not TOPIC/PARTITION/OFFSET with one of {', '.join(SUBMISSION_TOPICS)}"
        raise typer.BadParameter(hint, param_hint="TOPIC/PARTITION/OFFSET")
    return found[1], int(found[2]), int(found[3])


def _spelled(place: Place) -> str:
    return "/".join(map(str, place))


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.replace(tzinfo=VIETNAM).timestamp() * 1000)


def _fields(heap: Heap) -> dict[str, object]:
    return {
        "code": heap.code,
        "sender": heap.sender,
        "letters": heap.letters,
        "bytes": heap.bytes,
        "first_ms": heap.first_ms,
        "last_ms": heap.last_ms,
        "last": _spelled(heap.last),
    }


def _head(letter: Letter) -> dict[str, object]:
    return {
        "submission": _spelled(letter.source),
        "arrived": clock(letter.append_ms),
        "code": letter.code,
        "detail": letter.detail,
        "sender": letter.sender,
        "key": None if letter.key is None else printable(letter.key.decode(errors="replace"), 150),
        "directory_offset": letter.directory_offset,
    }


def _foreseen(one: Foreseen) -> dict[str, object]:
    place = _spelled(one.letter.source)
    return {"submission": place, "was": one.letter.code, "outcome": one.outcome, "code": one.code, "detail": one.detail}


def _tell(foreseen: list[Foreseen]) -> None:
    counted = Counter((one.letter.code, one.outcome, one.code) for one in foreseen)
    rows = [(f"{n:,}", was, escape(outcome), escape(code)) for (was, outcome, code), n in counted.most_common()]
    table("If they came now", ("letters", "refused by", "would be", "by"), rows, right=("letters",))


def _dump(data: bytes) -> list[str]:
    """Offset, hexadecimal and ASCII, 16 bytes a line."""
    lines = []
    for start in range(0, len(data), BYTES_A_LINE):
        part = data[start : start + BYTES_A_LINE]
        shown = "".join(chr(one) if 32 <= one < 127 else "." for one in part)
        lines.append(f"{start:06x}  {part.hex(' '):<{3 * BYTES_A_LINE}} {shown}")
    return lines
