"""`exchange up | down | status | init`."""

from __future__ import annotations

from typing import Annotated

import typer
from confluent_kafka import KafkaException, TopicPartition

from exchange.backbone import topics
from exchange.backbone.clients import error, reader
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import hop_lag
from exchange.backbone.schema_log import publish_schemas
from exchange.cli import attesting
from exchange.cli import world as worlds
from exchange.cli.closing import PATIENCE_MS
from exchange.cli.ledger import key_of
from exchange.cli.output import ERR, NO, NO_WORLD, OUT, VIETNAM, explain, print_json, size, table
from exchange.cli.world import World
from exchange.errors import Unavailable
from exchange.ledger.attesting import Ages
from exchange.local import services
from exchange.local.authority import Authority
from exchange.local.crew import crew_status, stop_crew
from exchange.local.founding import found, now_ms
from exchange.local.progress import Report, on_terminal
from exchange.statements import SUBMISSION_TOPICS
from exchange.statements.hours import Hour
from exchange.views.hours_due import due

LOOK_BACK_HOURS = 24
"""Whoever asks for the status waits for that."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("init")(init)


def up(
    context: typer.Context,
    outside: Annotated[
        bool, typer.Option("--outside", help="Open a listener for agencies that write to Kafka directly, for good.")
    ] = False,
) -> None:
    """Start the embedded Kafka and PostgreSQL, and wait until they answer.

    Example: `exchange up` · `exchange --home /srv/exchange up` · `exchange up --outside`
    """
    with on_terminal(ERR) as report:
        found_services = services.up(worlds.of(context).home, report, outside=outside)
    OUT.print(f"Kafka at {found_services.bootstrap_servers}, PostgreSQL ready.", highlight=False)
    if found_services.outside_servers is not None:
        OUT.print(f"Agencies write to Kafka at {found_services.outside_servers} (SASL_SSL).", highlight=False)


def down(context: typer.Context) -> None:
    """Stop the embedded services; nothing is lost.

    Example: `exchange down`
    """
    home = worlds.of(context).home
    stop_crew(home)
    services.down(home)
    OUT.print("Stopped. `exchange up` brings everything back.", highlight=False)


def init(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Change existing topics without asking.")] = False,
) -> None:
    """Make topics, demo keys and the directory of 2022. Safe to repeat; shows a difference before changing.

    Example: `exchange init`
    """
    with on_terminal(ERR) as report:
        if not prepare(worlds.of(context), report, change=yes):
            raise typer.Exit(NO)
    OUT.print("Ready.")


def prepare(world: World, report: Report, *, change: bool) -> bool:
    """Topics, keys, directory. False if existing topics differ and `change` isn't given (they are shown)."""
    report("Making topics")
    found_difference = topics.difference(world.admin, world.layout)
    if found_difference.changes and not change:
        rows = [(name, key, now or "–", then) for name, key, now, then in found_difference.changes]
        table("Topics that differ (repeat with --yes to change them)", ("topic", "setting", "now", "then"), rows)
        return False
    topics.apply(world.admin, found_difference)
    publish_schemas(world.base)
    found(world.home, world.base, report)
    return True


def status(context: typer.Context, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show each process, topic, lag and disk.

    Example: `exchange status --json`
    """
    world = worlds.of(context)
    processes = services.status(world.home) if world.is_embedded else []
    processes += crew_status(world.home)
    try:
        rows = _topic_rows(world)
        reachable = True
    except Unavailable as exc:
        rows, reachable = [], False
        ERR.print(f"Kafka doesn't answer: {exc.detail}", markup=False, highlight=False)
    ages = _ages(world)
    open_hours = _overdue(world) if reachable else []
    if json:
        print_json({
            "processes": [
                {"name": p.name, "pid": p.pid, "state": p.state, "resident_bytes": p.resident_bytes,
                 "address": p.address, "disk_bytes": p.disk_bytes, "disk_free_bytes": p.disk_free_bytes}
                for p in processes
            ],
            "topics": [{"topic": t, "partitions": n, "records": r, "lag": lag} for t, n, r, lag in rows],
            "ledger": None if ages is None else {
                "unwitnessed_age_s": ages.unwitnessed_s, "unstamped_age_s": ages.unstamped_s,
                "beyond_limits": ages.beyond(attesting.LIMITS),
            },
            "hours_overdue": [hour.name for hour in open_hours],
        })  # fmt: skip
    else:
        if processes:
            table(
                "Processes",
                ("name", "state", "pid", "memory", "disk", "free", "port", "since"),
                [
                    (p.name, p.state, p.pid, size(p.resident_bytes), size(p.disk_bytes) if p.disk_bytes else "",
                     "" if p.disk_free_bytes is None else size(p.disk_free_bytes),
                     p.address.rpartition(":")[2],
                     p.since.astimezone(VIETNAM).strftime("%d/%m %H:%M") if p.since else "")
                    for p in processes
                ],
                right=("pid", "memory", "disk", "free"),
            )  # fmt: skip
        for p in processes:
            if p.is_disk_full:
                detail = f"{size(p.disk_free_bytes or 0)} are left for {p.name}"
                explain(Unavailable("disk.full", detail))
        if ages is not None:
            attesting.warn(ages)
        if open_hours:
            explain(Unavailable("hour.overdue", f"{len(open_hours)} hours, the first is {open_hours[0].name}"))
        cells = [(t, n, f"{r:,}", "–" if lag is None else f"{lag:,}") for t, n, r, lag in rows]
        table(
            "Topics",
            ("topic", "partitions", "records", "hop's lag"),
            cells,
            right=("partitions", "records", "hop's lag"),
        )
    if not reachable:
        raise typer.Exit(NO_WORLD)


def _ages(world: World) -> Ages | None:
    """How long the ledger has gone unseen; None where there is none yet, or its store doesn't answer (it is said)."""
    if not attesting.has_keys(world):
        return None
    try:
        return attesting.ages_of(world, key_of(world).verifier)
    except Unavailable as exc:
        explain(exc)
        return None


def _overdue(world: World) -> list[Hour]:
    """The hours of a day whose books should be closed by now; none where there are no keys to close them with."""
    if not Authority.exists(world.home.keys):
        return []
    try:
        return due(world.base, lambda: world.trust, now_ms() - PATIENCE_MS, back_hours=LOOK_BACK_HOURS)
    except Unavailable as exc:
        explain(exc)
        return []


def _topic_rows(world: World) -> list[tuple[str, int, int, int | None]]:
    """Topic, partitions, records (offsets, markers included), and the hop's lag where it has one."""
    consumer = reader(world.base, group_id=GROUP)
    try:
        existing = consumer.list_topics(timeout=10).topics
        lag = hop_lag(world.base, GROUP, world.layout.keyed) if all(t in existing for t in SUBMISSION_TOPICS) else {}
        rows: list[tuple[str, int, int, int | None]] = []
        for topic in world.layout.topics:
            if topic.name not in existing:
                continue
            records = 0
            for partition in existing[topic.name].partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic.name, partition), timeout=10)
                records += high - low
            rows.append((topic.name, len(existing[topic.name].partitions), records, lag.get(topic.name)))
        return rows
    except KafkaException as exc:
        raise error(exc) from exc
    finally:
        consumer.close()
