"""`exchange agency admit | dismiss`: large agencies that write to Kafka themselves."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from exchange.agencies.resolution import is_open
from exchange.backbone.outsiders import BYTES_PER_S, admit, admitted, dismiss, principal_of
from exchange.backbone.own_inbox import OwnInbox, make_topic, topic_of
from exchange.cli import world as worlds
from exchange.cli.output import OUT, print_json
from exchange.cli.running import run_to_its_end, stop_on_signals
from exchange.cli.world import World
from exchange.errors import Misconfigured, Rejected
from exchange.local.founding import now_ms
from exchange.local.home import write_private
from exchange.pipeline.routing import day_of

PASSWORD_BYTES = 32
FILE_NAME = "kafka.properties"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("admit")(admit_agency)
    app.command("copy-inbox")(copy_inbox)
    app.command("dismiss")(dismiss_agency)


def admit_agency(
    context: typer.Context,
    code: Annotated[str, typer.Argument(help="Code of the unit.")],
    bytes_per_s: Annotated[
        int, typer.Option(min=1024, help="What it may write a second, to each broker.")
    ] = BYTES_PER_S,
    servers: Annotated[
        str | None, typer.Option(help="Where agencies reach a Kafka of your own; the embedded one is known.")
    ] = None,
    inbox: Annotated[
        bool, typer.Option("--inbox", help="Let it read its inbox from a topic of its own, too; see `copy-inbox`.")
    ] = False,
    renew: Annotated[
        bool, typer.Option("--renew", help="A new password; nobody logs in with the old one any more.")
    ] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Let an agency write to the submission topics directly, and to nothing else. Safe to repeat.

    Its name, password and the listener's address are written into a file that only you may read, in librdkafka's
    words.

    Example: `exchange up --outside`, then `exchange agency admit H26 --bytes-per-s 4000000`
    """
    world = worlds.of(context)
    agency = world.directory_log.directory.latest().agency(code)
    if agency is None:
        raise Rejected("sender.unknown", code)
    if not is_open(agency, day_of(now_ms())):
        raise Rejected("sender.closed", agency.code)
    settings = _connection(world, servers)
    file = _file(world, agency.code)
    kept = None if renew else _password_in(file)
    password = kept or secrets.token_urlsafe(PASSWORD_BYTES)
    settings |= {"sasl.username": principal_of(agency.code), "sasl.password": password}
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, "".join(f"{name}={value}\n" for name, value in settings.items()))
    if inbox:
        make_topic(world.admin, world.layout, agency.code)
    own = topic_of(agency.code) if inbox else None
    found = admit(world.admin, world.base, agency.code, password.encode("ascii"), bytes_per_s, own)
    if json:
        print_json({
            "principal": found.principal, "topics": found.topics, "inbox": found.inbox,
            "bytes_per_s": found.bytes_per_s, "file": str(file),
        })  # fmt: skip
        return
    OUT.print(f"{found.principal} may write to {', '.join(found.topics)}, {bytes_per_s:,} bytes/s.", highlight=False)
    if found.inbox is not None:
        OUT.print(
            f"It may read {found.inbox}; `exchange agency copy-inbox {agency.code}` keeps that up.", highlight=False
        )
    OUT.print(f"Its connection{'' if kept else ' with a new password'}: {file}", highlight=False, soft_wrap=True)


def copy_inbox(
    context: typer.Context, code: Annotated[str, typer.Argument(help="Code of a unit admitted with --inbox.")]
) -> None:
    """Copy what is delivered to a unit into its own topic, as it comes, until Ctrl-C. One process a unit.

    Example: `exchange agency admit H26 --inbox`, then `exchange agency copy-inbox H26`
    """
    world = worlds.of(context)
    agency = world.directory_log.directory.latest().agency(code)
    if agency is None:
        raise Rejected("sender.unknown", code)
    if admitted(world.admin, world.base, agency.code).inbox is None:
        raise Misconfigured([f"{agency.code} reads no topic of its own: `exchange agency admit {agency.code} --inbox`"])
    stop = stop_on_signals()
    run_to_its_end(lambda: OwnInbox(world.base, agency, world.layout.inbox).run(stop))


def dismiss_agency(
    context: typer.Context, code: Annotated[str, typer.Argument(help="Code of the unit, also of one that is no more.")]
) -> None:
    """Take an agency's right to write to Kafka back, at once. What it wrote stays; it still sends by other ways.

    Example: `exchange agency dismiss H26`
    """
    world = worlds.of(context)
    agency = world.directory_log.directory.latest().agency(code)
    if agency is None:
        raise Rejected("sender.unknown", code)
    dismiss(world.admin, world.base, agency.code)
    _file(world, agency.code).unlink(missing_ok=True)
    left = admitted(world.admin, world.base, agency.code)
    OUT.print(f"{left.principal} may write to nothing.", highlight=False)


def _file(world: World, code: str) -> Path:
    return world.home.keys / "agencies" / code / FILE_NAME


def _password_in(file: Path) -> str | None:
    """The password that was made before; None if there is none."""
    if not file.is_file():
        return None
    settings = dict(line.split("=", 1) for line in file.read_text("utf-8").splitlines())
    return settings.get("sasl.password")


def _connection(world: World, servers: str | None) -> dict[str, str]:
    settings = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}
    if servers is not None:
        return {"bootstrap.servers": servers, **settings}
    if world.cluster is None:
        raise Misconfigured(["say where agencies reach this Kafka: --servers HOST:PORT"])
    if world.cluster.outside_servers is None:
        raise Misconfigured(["no listener is open for agencies: `exchange down`, then `exchange up --outside`"])
    return {
        "bootstrap.servers": world.cluster.outside_servers,
        "ssl.ca.location": str(world.cluster.outside_certificate),
        **settings,
    }
