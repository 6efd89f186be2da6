"""`exchange demo`: the whole way, real, in one command, and what happened in words a newcomer understands."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path as FilePath
from typing import Annotated

import typer

from exchange.agencies.levels import Level
from exchange.auditor import Balance, audit
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_hop, await_members
from exchange.backbone.submitting import Submitting
from exchange.cli import auditing, evidence, tracing
from exchange.cli import world as worlds
from exchange.cli.ledger import key_of
from exchange.cli.output import ERR, NO, OUT, table, to_rows
from exchange.cli.running import options_of
from exchange.cli.services import prepare
from exchange.cli.simulating import make_nation
from exchange.cli.world import World
from exchange.errors import InvariantBroken, Misconfigured
from exchange.ledger.evidence import Verdict, verify
from exchange.local import services
from exchange.local.crew import Crew, console_port, stop_crew
from exchange.local.founding import now_ms, publish, revocations
from exchange.local.home import Home, write_private
from exchange.local.processes import interrupts_deferred
from exchange.local.progress import Report, on_terminal
from exchange.local.simulation.nation import Nation, Sent
from exchange.local.simulation.recipients import Recipients
from exchange.views.trace_path import Path
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import Counts, summary, trace

WAIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Happened:
    """What a demo did, for its summary. `path`: of one document; `verdict`: on its evidence, as a stranger has it."""

    sent: Sent
    receipts: int
    latencies_ms: list[int]
    balance: Balance
    counts: Counts
    path: Path
    verdict: Verdict
    console_port: int | None

    @property
    def is_as_expected(self) -> bool:
        """Whether each bad record was refused by the code that it was made for, and nothing else was refused."""
        refused = {code: count for code, count in self.sent.expected.items() if code != "accepted"}
        return refused == self.counts.rejections


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    documents: Annotated[int, typer.Option(min=100, help="How many records to send.")] = 10_000,
    rate: Annotated[float, typer.Option(min=1, help="Records a second.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Same seed, same traffic.")] = 2022,
    stop: Annotated[bool, typer.Option("--stop", help="Stop everything at the end.")] = False,
) -> None:
    """Send 10,000 documents between real units over a real Kafka; deliver, acknowledge, trace, audit.

    A demo begins afresh: it empties the home of an earlier demo, and no other.

    Example: `exchange --home .exchange/demo demo`
    """
    world = worlds.of(context)
    if not world.is_embedded:
        raise Misconfigured(["the demo runs on its own embedded services: leave --bootstrap-servers out"])
    try:
        with on_terminal(ERR) as report:
            happened = _act(world, report, documents, rate, seed)
        _tell(world, happened)
    except BaseException:
        with interrupts_deferred():
            _stop(world.home)
        raise
    if stop:
        _stop(world.home)
    if not (happened.balance.holds and happened.is_as_expected and happened.verdict.holds):
        raise typer.Exit(NO)


def _act(world: World, report: Report, documents: int, rate: float, seed: int) -> Happened:
    _begin_afresh(world.home)
    services.up(world.home, report)
    prepare(world, report, change=True)
    report("Starting the hop and the trace store")
    console = console_port() if find_spec("nicegui") else None  # the extra may be absent
    Crew(world.home, options_of(world), 1, console).start()
    await_members(world.admin, GROUP, 1, WAIT_S)
    nation = make_nation(world, seed, report, run=f"demo-{seed}")
    sent = nation.send(documents, rate, bad_share=0.02)
    _await(world, report, "Verifying and delivering")
    latencies, signed = _sign_receipts(world, nation, report)
    _await(world, report, "Delivering receipts")
    report("Writing the trace")
    store = TraceStore(world.database_url)
    TraceProjection(world.base, store).catch_up()
    report("Re-reading the topics for the audit")
    balance = audit(world.base, world.authority.registrar_public_key)
    path, verdict = _prove(world, store, sent, report)
    return Happened(sent, signed, latencies, balance, summary(store), path, verdict, console)


def _begin_afresh(home: Home) -> None:
    """Empty the home of an earlier demo; Misconfigured if it holds anything else."""
    marker = home.folder / "demo.json"
    if home.state() is not None and not marker.is_file():
        raise Misconfigured([f"{home.folder} holds data that is not a demo's; choose another folder with --home"])
    _stop(home)
    for part in (home.kafka, home.postgres, home.folder / "inboxes", home.folder / "ledger"):
        shutil.rmtree(part, ignore_errors=True)
    (home.keys / "ledger.key").unlink(missing_ok=True)  # another tree must not be signed by the same key
    home.state_file.unlink(missing_ok=True)
    home.create()
    write_private(marker, json.dumps({"began": time.time()}))


def _await(world: World, report: Report, step: str) -> None:
    """Wait for the hop, showing how much is left."""
    most = 0

    def told(lag: int) -> None:
        nonlocal most
        most = max(most, lag)
        report(step, most - lag, most)

    report(step)
    await_hop(world.base, GROUP, world.layout.keyed, WAIT_S, told)


def _sign_receipts(world: World, nation: Nation, report: Report) -> tuple[list[int], int]:
    """The recipients read, verify and sign; returns the documents' times to the inbox and how many signed."""
    recipients, out, signed = Recipients(world.base, nation.cast, world.opener), Submitting(world.base), 0
    for signed, receipt in enumerate(recipients.receipts(), 1):
        out.send(receipt)
        if signed % 100 == 0:
            report("Recipients verify and sign receipts", signed)
    out.flush()
    return recipients.latencies_ms, signed


def _prove(world: World, store: TraceStore, sent: Sent, report: Report) -> tuple[Path, Verdict]:
    """One document's path, and its evidence: written into the home, and verified from the file alone."""
    path = trace(store, sent.example[1], sent.example[0])
    if path is None:
        raise InvariantBroken(f"{sent.example} was sent, and the trace store doesn't know it")
    publish(world.base, world.authority, [revocations(world.authority)])  # newer than all that was signed
    world.directory_log.catch_up()
    file = _evidence_of(world)
    file.write_bytes(evidence.exported(world, path, report, WAIT_S))
    anchors = evidence.read_anchors([evidence.root_of(world)], str(key_of(world).verifier), None, None)
    return path, verify(file.read_bytes(), anchors, now_ms())


def _evidence_of(world: World) -> FilePath:
    return world.home.folder / "evidence.zip"


def _stop(home: Home) -> None:
    stop_crew(home)
    services.down(home)


def _tell(world: World, happened: Happened) -> None:
    sent, counts = happened.sent, happened.counts
    OUT.print()
    OUT.rule("What happened")
    OUT.print(
        f"{sent.records:,} records were sent in {sent.seconds:.1f} s ({sent.records / sent.seconds:,.0f} a second), "
        f"two in a hundred of them bad on purpose. The recipients verified what they got and signed "
        f"{happened.receipts:,} receipts.", highlight=False,
    )  # fmt: skip
    table("Submissions", ("outcome", "records"), to_rows(counts.outcomes), ("records",))
    table("Rejected, by reason", ("code", "records"), to_rows(counts.rejections), ("records",))
    if happened.is_as_expected:
        OUT.print("[green]Each was refused by the code that it was made for, and nothing else was.[/]\n")
    else:
        OUT.print("[red]That is not what was sent to be refused:[/]")
        table("Made to be refused", ("code", "records"), to_rows(sent.expected), ("records",))
    _matrix(counts)
    _latency(happened.latencies_ms)
    auditing.show(happened.balance)
    OUT.rule("One document's whole path")
    OUT.print(tracing.drawn(happened.path), highlight=False)
    OUT.rule("And its proof, verified from one file alone")
    evidence.show(happened.verdict)
    evidence.tell_how_to_verify(world, _evidence_of(world), _evidence_of(world).stat().st_size)
    home = world.home.folder
    OUT.rule("Try next")
    if happened.console_port is not None:
        OUT.print(f"Open http://127.0.0.1:{happened.console_port}/ in a browser: the console.", highlight=False)
    OUT.print(
        f"Everything keeps running. Say `export EXCHANGE_HOME={home}`, then:\n"
        f"  exchange trace {sent.example[1]}\n"
        "  exchange agency tree H26\n"
        '  exchange publish README.md --from H26 --to G22 --subject "Văn bản đầu tiên"\n'
        "  exchange inbox G22 --save received/ --acknowledge\n"
        "  exchange audit\n"
        "  exchange down            stops everything",
        markup=False, highlight=False,
    )  # fmt: skip


def _matrix(counts: Counts) -> None:
    columns = ("from \\ to", *(level.label for level in Level))
    rows = [
        (sender.label, *(f"{counts.levels.get((int(sender), int(recipient)), 0):,}" for recipient in Level))
        for sender in Level
    ]
    table("Copies delivered: sender's level × recipient's level", columns, rows, columns[1:])


def _latency(latencies_ms: list[int]) -> None:
    if not latencies_ms:
        return
    ordered = sorted(latencies_ms)
    p50, p99 = (ordered[min(int(len(ordered) * share), len(ordered) - 1)] for share in (0.5, 0.99))
    OUT.print(
        f"From submission to inbox: p50 {p50} ms, p99 {p99} ms ({len(ordered):,} inbox records).\n", highlight=False
    )
