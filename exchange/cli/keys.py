"""`exchange keys create | revoke`: the demo authority."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from exchange.agencies import Agency
from exchange.cli import world as worlds
from exchange.cli.output import NO, OUT, VIETNAM, clock, print_json, table
from exchange.cli.world import World
from exchange.errors import Rejected
from exchange.local.founding import listed, listed_encryption, now_ms, publish, revocations
from exchange.local.issuing import Issued, KeyKind
from exchange.views.suspects import accepted_since
from exchange.views.trace_store import TraceStore

app = typer.Typer(no_args_is_help=True, help="The demo authority's certificates, as files that openssl reads.")


@app.command("create")
def create(
    context: typer.Context,
    code: Annotated[str, typer.Argument(help="Code of the unit.")],
    leader: Annotated[str | None, typer.Option(help="Directory id of a leader, such as H26-L1.")] = None,
    connector: Annotated[bool, typer.Option("--connector", help="For the unit's connector, told apart.")] = False,
    encryption: Annotated[
        bool, typer.Option("--encryption", help="What others encrypt to for the unit; it signs nothing.")
    ] = False,
    delegate: Annotated[
        str | None, typer.Option(help="Code of another unit, which may sign for this one; it gets the key.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", help="With --delegate: from then (Vietnam's time).")
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="With --delegate: until then.")] = None,
    key: Annotated[KeyKind, typer.Option(help="Kind of key.")] = "p256",
    renew: Annotated[bool, typer.Option(help="Issue a new one; the old one stays valid beside it.")] = False,
) -> None:
    """Issue a certificate for a unit's seal, its connector, a leader or its encryption, and list it in the directory.

    Example: `exchange keys create H26` · `exchange keys create H26 --leader H26-L1 --key rsa2048` ·
    `exchange keys create H26 --encryption --renew` ·
    `exchange keys create H26 --delegate H26.01 --from 2026-12-01 --until 2026-12-31`
    """
    world = worlds.of(context)
    view = world.directory_log.directory.latest()
    agency = view.agency(code)
    if agency is None:
        raise Rejected("sender.unknown", code)
    person = view.leader(leader) if leader is not None else None
    if leader is not None and (person is None or person.agency != agency.code):
        raise Rejected("signature.leader_not_listed", f"{leader} is no leader of {agency.code}")
    if connector and leader is not None:
        raise typer.BadParameter("a leader's key is not a connector's", param_hint="--connector")
    if encryption:
        if leader is not None or connector or key == "ed25519":
            raise typer.BadParameter("a unit's own, p256 or rsa2048", param_hint="--encryption")
        _create_encryption(world, agency, key, renew=renew)
        return
    if delegate is not None or since is not None or until is not None:
        if delegate is None or until is None or leader is not None or connector:
            raise typer.BadParameter(
                "a delegate needs --until, and is no leader nor connector", param_hint="--delegate"
            )
        _create_delegate(world, agency, delegate, key, since, until)
        return
    saved = [
        one for one in world.authority.issued(agency.code) if (one.leader, one.is_connector) == (leader, connector)
    ]
    if renew or not saved:
        name = agency.name if person is None else person.name
        issued = world.authority.issue(agency.code, name, leader, key, connector=connector)
        world.authority.save(issued)
    else:
        issued = saved[0]
    if view.certificate(issued.fingerprint) is None:
        publish(world.base, world.authority, listed([issued]))
    folder = world.home.keys / "agencies" / agency.code
    if saved and not renew:
        OUT.print("There is one already; --renew issues another, and the old one stays valid beside it.")
    OUT.print(
        f"{folder}/{leader or ('connector' if connector else 'seal')}.crt.pem  {issued.fingerprint.hex()}",
        highlight=False,
        soft_wrap=True,
    )


def _create_delegate(
    world: World, agency: Agency, code: str, key: KeyKind, since: datetime | None, until: datetime
) -> None:
    """A key by which another unit signs for this one between two times; what it had before stays good until its end."""
    holder = world.directory_log.directory.latest().agency(code)
    if holder is None:
        raise Rejected("agency.unknown", code)
    if holder.code == agency.code:
        raise typer.BadParameter("a unit needs no leave to sign for itself", param_hint="--delegate")
    first, last = (None if one is None else _moment_ms(one) for one in (since, until))
    issued = world.authority.issue(
        agency.code, agency.name, None, key, not_before_ms=first, not_after_ms=last, delegate=holder.code
    )
    file = world.authority.save_delegation(issued)
    publish(world.base, world.authority, listed([issued]))
    OUT.print(f"{file}  {issued.fingerprint.hex()}", highlight=False, soft_wrap=True)


def _moment_ms(moment: datetime) -> int:
    """A time of Vietnam's as the exchange counts."""
    return int(moment.replace(tzinfo=VIETNAM).timestamp() * 1000)


def _create_encryption(world: World, agency: Agency, key: KeyKind, *, renew: bool) -> None:
    """A key for decrypting beside those that the unit has; all that are good are encrypted to."""
    listed_ones = world.directory_log.directory.latest().encryption_certificates(agency.code)
    known = {entry.certificate for entry in listed_ones}
    saved = world.authority.encryption(agency.code)
    if renew or not saved:
        saved = [*saved, world.authority.issue(agency.code, agency.name, None, key, usage="encrypt")]
    file = world.authority.save_encryption(saved[-1])
    fresh = [one for one in saved if one.certificate not in known]
    if fresh:
        publish(world.base, world.authority, listed_encryption(fresh))
    OUT.print(f"{file}  {saved[-1].fingerprint.hex()}", highlight=False, soft_wrap=True)


@app.command("revoke")
def revoke(
    context: typer.Context,
    code: Annotated[str, typer.Argument(help="Code of the unit whose certificate is revoked.")],
    leader: Annotated[str | None, typer.Option(help="A leader's certificate instead of the seal.")] = None,
    connector: Annotated[bool, typer.Option("--connector", help="The connector's instead of the seal.")] = False,
    encryption: Annotated[bool, typer.Option("--encryption", help="All that others encrypt to, instead.")] = False,
    delegate: Annotated[str | None, typer.Option(help="By which this other unit signs for it, instead.")] = None,
    compromised_since: Annotated[
        datetime | None, typer.Option(help="Since when the key may have been another's (Vietnam's time).")
    ] = None,
    reason: Annotated[str, typer.Option(help="RFC 5280's word.")] = "keyCompromise",
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Revoke a certificate from now on, and list what was accepted after the key may have been lost.

    Example: `exchange keys revoke H26 --compromised-since 2026-11-20T08:00:00`
    """
    world = worlds.of(context)
    now = now_ms()
    if encryption:
        for one in (found := world.authority.encryption(code)):
            world.authority.revoke(one.certificate, now, None, reason)
        publish(world.base, world.authority, [revocations(world.authority)])
        OUT.print(f"Nobody encrypts to the {len(found)} keys of {code} any more; they still open what was sent before.")
        return
    issued = (
        _issued(world, code, leader, connector=connector)
        if delegate is None
        else world.authority.delegation(code, delegate)
    )
    since = now if compromised_since is None else _moment_ms(compromised_since)
    invalidity = None if compromised_since is None else since
    world.authority.revoke(issued.certificate, now, invalidity, reason)
    publish(world.base, world.authority, [revocations(world.authority)])
    suspects = accepted_since(TraceStore(world.database_url), issued.fingerprint, since) if invalidity else []
    if json:
        print_json([one._asdict() for one in suspects])
    else:
        OUT.print(f"Revoked {issued.fingerprint.hex()} of {issued.agency} from now on.", highlight=False)
        if invalidity:
            rows = [(one.id, one.kind, clock(one.append_ms), one.subject or "") for one in suspects]
            table(
                "Suspect: accepted since the key may have been another's", ("id", "kind", "accepted", "subject"), rows
            )


def _issued(world: World, code: str, leader: str | None, *, connector: bool) -> Issued:
    agency = world.directory_log.directory.latest().agency(code)
    found = (
        []
        if agency is None
        else [
            one for one in world.authority.issued(agency.code) if (one.leader, one.is_connector) == (leader, connector)
        ]
    )
    if not found:
        OUT.print(f"{code} has no such certificate. See `exchange agency show {code}`.", markup=False)
        raise typer.Exit(NO)
    return found[0]
