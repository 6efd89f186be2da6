"""`exchange set-aside`: the operator's signed decision to step past one record that trips a bug of ours.

Guarantees: what is signed names exactly the bytes that were shown; a record that the hop has committed, or that isn't
there, is refused. Does not wait for the hop, and doesn't need it to run.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from hashlib import sha256
from typing import Annotated, NoReturn

import typer

from exchange.agencies import SettingAside
from exchange.auditor.said import read_statement
from exchange.backbone.clients import reader
from exchange.backbone.hop import GROUP
from exchange.backbone.offsets import committed
from exchange.backbone.reading import Read, read_one
from exchange.cli import world as worlds
from exchange.cli.accountable import REASON_CHARACTERS_MAX, one_line, who
from exchange.cli.output import ERR, NO, OUT, clock, print_json, size
from exchange.cli.world import World
from exchange.local.founding import now_ms, publish
from exchange.pipeline.books import printable
from exchange.statements import SUBMISSION_TOPICS

_PLACE = re.compile(r"([a-z.]+)/([0-9]{1,9})/([0-9]{1,18})", re.ASCII)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("set-aside")(set_aside)


def set_aside(
    context: typer.Context,
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="As the stopped worker names it.")],
    reason: Annotated[str, typer.Option(help="Why; it is signed and kept for ever.")],
    by: Annotated[str | None, typer.Option(help="Who decides; by default who is logged in.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Step past one record that trips a bug of the exchange's own, by a decision signed with the registrar's key.

    It is kept as a dead letter with its original bytes, and counted; nothing of it is delivered, nobody is told.
    Refused for what the hop has committed already.

    Example: `exchange set-aside documents/3/4182 --reason "bug 17: the gate divides by zero"`
    """
    world = worlds.of(context)
    topic, partition, offset = _coordinates(place, world)
    texts = (one_line(reason, REASON_CHARACTERS_MAX, "--reason"), who(by))
    read = _undecided(world, topic, partition, offset)
    decision = _decision(read, *texts)
    standing = world.directory_log.directory.latest().setting_aside(topic, partition, offset)
    if standing is not None and standing.sha256 == decision.sha256:
        decision = standing
        ERR.print("It is set aside already; nothing new was signed.")
    else:
        if not json or not yes:
            _show(read, decision)
        if not yes:
            typer.confirm("Set aside this record, and no other?", abort=True, err=True)
        publish(world.base, world.authority, [decision])
        world.directory_log.catch_up()
    directory_offset = world.directory_log.directory.next_offset
    if json:
        print_json({**asdict(decision), "directory_offset": directory_offset})
        return
    OUT.print(f"{place} is set aside from directory offset {directory_offset:,} on. `exchange run` steps past it.",
              highlight=False, soft_wrap=True)  # fmt: skip


def _coordinates(place: str, world: World) -> tuple[str, int, int]:
    found = _PLACE.fullmatch(place)
    if found is None or found[1] not in SUBMISSION_TOPICS:
        hint = f"{place} is not TOPIC/PARTITION/OFFSET with one of {', '.join(SUBMISSION_TOPICS)}"
        raise typer.BadParameter(hint, param_hint="TOPIC/PARTITION/OFFSET")
    topic, partition, offset = found[1], int(found[2]), int(found[3])
    if partition >= world.layout.keyed:
        raise typer.BadParameter(f"{topic} has {world.layout.keyed} partitions", param_hint="TOPIC/PARTITION/OFFSET")
    return topic, partition, offset


def _undecided(world: World, topic: str, partition: int, offset: int) -> Read:
    """The record, unless it was decided about; what the hop is just committing is waited for."""
    asking = reader(world.base, group_id=GROUP)
    try:
        following = committed(asking, [partition])[topic, partition]
    finally:
        asking.close()
    if offset < following:
        _refuse(f"{topic}/{partition}/{offset} is decided already: the hop goes on from {following:,}.")
    read = read_one(world.base, topic, partition, offset)
    if read is None:
        _refuse(f"There is no record at {topic}/{partition}/{offset}.")
    return read


def _refuse(why: str) -> NoReturn:
    ERR.print(why, markup=False, highlight=False)
    raise typer.Exit(NO)


def _decision(read: Read, reason: str, by: str) -> SettingAside:
    return SettingAside(
        read.topic, read.partition, read.offset, now_ms(), sha256(read.value).digest(), *_claims(read), reason, by
    )


def _claims(read: Read) -> tuple[str, str, str, str]:
    """Kind, sender, id and thread as the record claims them; empty where it can't be read."""
    thread = printable((read.key or b"").decode(errors="replace"), 150)
    try:
        said = read_statement(read.value)
    except Exception:  # noqa: BLE001  this record is here for tripping a bug: it mustn't trip this command as well
        return "", "", "", thread
    return said.kind, printable(said.fields["sender"], 35), printable(said.fields["id"], 64), thread


def _show(read: Read, decision: SettingAside) -> None:
    claims = f"{decision.kind} {decision.id} of {decision.sender}" if decision.kind else "nothing that can be read"
    key = printable((read.key or b"").decode(errors="replace"), 150)
    for name, value in (
        ("record", f"{read.topic}/{read.partition}/{read.offset}"),
        ("appended", clock(read.append_ms)),
        ("size", f"{size(len(read.value))} ({len(read.value):,} bytes)"),
        ("SHA-256", decision.sha256.hex()),
        ("key", key or "–"),
        ("claims to be", f"{claims}; nobody verified that"),
        ("reason", decision.reason),
        ("decided by", decision.by),
    ):
        ERR.print(f"{name:>12}  {value}", markup=False, highlight=False, soft_wrap=True)
