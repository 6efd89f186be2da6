"""`exchange torture`: the nation at full rate, while whatever runs is killed, stopped and continued; then the books."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import asdict
from typing import Annotated

import structlog
import typer

from exchange.cli import world as worlds
from exchange.cli.output import NO, OUT, Json, print_json, table
from exchange.cli.torturing import Outcome, Plan, begin_afresh, run
from exchange.cli.world import World
from exchange.errors import ExchangeError, Misconfigured
from exchange.local import services
from exchange.local.crew import stop_crew
from exchange.local.home import Home, exclusive
from exchange.local.processes import interrupts_deferred
from exchange.local.torture.pulse import Pulse
from exchange.local.torture.schedule import ACTS

RECOVERY_S_MAX = 10.0
"""Within which a struck worker's partitions are to be served again."""

log = structlog.get_logger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("torture")(torture)


def torture(
    context: typer.Context,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long everything is struck.")] = 2.0,
    seed: Annotated[int | None, typer.Option(help="Same seed, same schedule; random by default.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Workers of the hop.")] = 2,
    plan_only: Annotated[bool, typer.Option("--plan", help="Only show the schedule.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep its folder, even if everything holds.")] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Kill, stop and continue at random whatever runs, under full load; then balance the books.

    The nation sends as fast as it can, while workers, views, Kafka and PostgreSQL are struck by a schedule that the
    seed gives. Afterwards the audit must balance, every record must have become what it was sent to become, and the
    trace store must equal its rebuild; exit 1 if not. It works in a folder of its own in the home, which stays if
    anything is wrong. With the global --verbose, each stroke is told as it falls.

    Example: `exchange torture --minutes 2 --seed 7` · `exchange torture --minutes 30 --seed 7 --plan`
    """
    world = worlds.of(context)
    if not world.is_embedded:
        raise Misconfigured(["torture kills the services: it uses embedded ones only, leave --bootstrap-servers out"])
    plan = Plan(minutes, secrets.randbelow(1_000_000) if seed is None else seed, workers)
    if plan_only:
        _show_plan(plan, json)
        return
    world.home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = World(Home(world.home.folder / "torture"))
    with exclusive(world.home.folder / "torture.lock", 0.0):
        begin_afresh(own.home)
        outcome = _tortured(own, plan)
        if outcome.is_balanced and not keep:
            shutil.rmtree(own.home.folder)
    if json:
        print_json(as_json(outcome, plan, own.home))
    else:
        show(outcome, plan, own.home)
    if not outcome.is_balanced:
        raise typer.Exit(NO)


def _show_plan(plan: Plan, json: bool) -> None:
    if json:
        print_json([asdict(stroke) for stroke in plan.strokes])
        return
    for stroke in plan.strokes:
        OUT.print(str(stroke), highlight=False)


def _tortured(own: World, plan: Plan) -> Outcome:
    """Run it and leave nothing running. An error of ours is a finding: it isn't balanced then."""
    outcome = Outcome(Pulse())
    try:
        run(own, plan, outcome)
    except ExchangeError as exc:
        outcome.findings.append(str(exc))
    finally:
        with interrupts_deferred():
            stop_crew(own.home)
            services.down(own.home)
    return outcome


def as_json(outcome: Outcome, plan: Plan, home: Home) -> Json:
    """What came of it, for programs."""
    strokes: dict[str, dict[str, int]] = {}
    for (victim, act), count in sorted(outcome.pulse.strokes.items()):
        strokes.setdefault(victim, {})[act] = count
    return {
        "verdict": "balanced" if outcome.is_balanced else "not balanced",
        "minutes": plan.minutes, "seed": plan.seed, "workers": plan.workers,
        **_figures(outcome), "strokes": strokes, "missed": outcome.pulse.missed,
        "standstill_s_max": round(outcome.pulse.standstill_s_max, 1),
        "recoveries": len(outcome.pulse.recoveries_s), "recovery_s_max": _slowest_s(outcome.pulse),
        "settled_s": round(outcome.settled_s, 1),
        "findings": outcome.findings,
        "repeat": plan.command, "logs": str(home.run) if home.run.exists() else None,
    }  # fmt: skip


def _figures(outcome: Outcome) -> dict[str, int]:
    sent = {} if outcome.load is None else {"sent": outcome.load.sent, "receipts": outcome.load.receipts}
    if outcome.balance is None:
        return sent
    records, copies = outcome.balance.total.records, outcome.balance.total.copies
    return sent | {
        "submitted": records.submitted, "accepted": records.accepted, "rejected": records.rejected,
        "duplicates": records.duplicates, "in_flight": records.in_flight,
        "deliveries": copies.delivered, "undeliverable": copies.undeliverable, "acknowledged": copies.acknowledged,
    }  # fmt: skip


def _slowest_s(pulse: Pulse) -> float | None:
    return round(max(seconds for _, seconds in pulse.recoveries_s), 1) if pulse.recoveries_s else None


def show(outcome: Outcome, plan: Plan, home: Home) -> None:
    """What came of it, for people."""
    pulse = outcome.pulse
    figures = [(name.replace("_", " "), f"{count:,}") for name, count in _figures(outcome).items()]
    title = f"{plan.minutes:g} minutes, seed {plan.seed}, {plan.workers} workers"
    table(title, ("", "records"), figures, ("records",))
    victims = sorted({victim for victim, _ in pulse.strokes})
    rows = [(victim, *(pulse.strokes[victim, act] or "" for act in ACTS)) for victim in victims]
    table("Strokes", ("victim", "killed", "stopped", "ended"), rows, ("killed", "stopped", "ended"))
    OUT.print(f"The hop stood still for {pulse.standstill_s_max:.1f} s at most; nothing was in flight "
              f"{outcome.settled_s:.1f} s after the last stroke.", highlight=False)  # fmt: skip
    if pulse.recoveries_s:
        stroke, seconds = max(pulse.recoveries_s, key=lambda one: one[1])
        OUT.print(f"After a stroke on a worker alone, all partitions were served again within {seconds:.1f} s "
                  f"({len(pulse.recoveries_s)} strokes; the slowest: {stroke.act} {stroke.victim}).",
                  style="yellow" if seconds > RECOVERY_S_MAX else None, highlight=False)  # fmt: skip
    if outcome.is_balanced:
        OUT.print("[bold green]Balanced.[/] Every record became what it was sent to become, once; the trace store "
                  "equals its rebuild.", highlight=False)  # fmt: skip
        return
    OUT.print("[bold red]Not balanced.[/]", highlight=False)
    for finding in outcome.findings:
        OUT.print(f"  • {finding}", markup=False, highlight=False)
    OUT.print(f"The same strokes again: {plan.command}\nLogs and data: {home.run}", markup=False, highlight=False)
