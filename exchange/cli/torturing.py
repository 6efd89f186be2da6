"""One run of torture: founded, struck under load, settled, reckoned.

Guarantees: when `run` returns or raises, Ctrl-C included, everyone who was stopped is continued and every service that
was taken away is up; `stop_crew` and `down` then leave nothing running.
"""

from __future__ import annotations

import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from exchange.auditor import Balance
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_hop, await_members
from exchange.cli.ledger import folder_of, key_of
from exchange.cli.output import ERR
from exchange.cli.running import options_of
from exchange.cli.services import prepare
from exchange.cli.simulating import make_nation
from exchange.cli.world import World
from exchange.errors import Misconfigured, Unavailable
from exchange.ledger.checkpoint import open_checkpoint
from exchange.ledger.promises import count
from exchange.ledger.store import CHECKPOINT
from exchange.local import services
from exchange.local.crew import Crew, stop_crew
from exchange.local.home import Home, write_private
from exchange.local.progress import Report, on_terminal
from exchange.local.torture.pulse import Pulse, feel
from exchange.local.torture.reckoning import Places, late_views, reckon
from exchange.local.torture.schedule import Stroke, in_turn, schedule
from exchange.local.torture.sending import Load
from exchange.local.torture.striking import Striking

START_S = 120.0
SETTLE_S = 300.0
SETTLE_ROUNDS = 5
_LOOK_S = 0.2
_MARKER = "torture.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for; by it a run can be repeated."""

    minutes: float
    seed: int
    workers: int

    @property
    def strokes(self) -> list[Stroke]:
        """The schedule."""
        return schedule(self.seed, self.minutes * 60, self.workers)

    @property
    def command(self) -> str:
        """The command line that repeats it."""
        return f"exchange torture --minutes {self.minutes:g} --seed {self.seed} --workers {self.workers}"


@dataclass(slots=True)
class Outcome:
    """What came of a run. `findings`: whatever is wrong, in sentences."""

    pulse: Pulse
    load: Load | None = None
    balance: Balance | None = None
    settled_s: float = 0.0
    """From the last stroke until nothing was in flight."""
    findings: list[str] = field(default_factory=list)

    @property
    def is_balanced(self) -> bool:
        """Whether everything held."""
        return self.balance is not None and not self.findings


def begin_afresh(home: Home) -> None:
    """Empty the folder of an earlier torture; Misconfigured if it holds anything else."""
    if home.folder.exists() and not (home.folder / _MARKER).is_file() and any(home.folder.iterdir()):
        raise Misconfigured([f"{home.folder} isn't a torture's; choose another folder with --home"])
    stop_crew(home)
    services.down(home)
    shutil.rmtree(home.folder, ignore_errors=True)
    home.create()
    write_private(home.folder / _MARKER, "{}\n")


def run(world: World, plan: Plan, outcome: Outcome) -> None:
    """Run a plan in an empty world of its own. Raises: Unavailable, InvariantBroken: then it didn't hold."""
    with on_terminal(ERR) as report:
        services.up(world.home, report)
        prepare(world, report, change=True)
        report("Starting the crew")
        # Whoever closes hours submits what nobody here has counted on.
        crew = Crew(world.home, options_of(world), plan.workers, without={"archive", "books"})
        crew.start()
        await_members(world.admin, GROUP, plan.workers, START_S)
        nation = make_nation(world, plan.seed, report, run=f"torture-{plan.seed}")
        load = outcome.load = Load(world.base, nation, world.opener)
        key = world.authority.registrar_public_key
        places = Places(world.base, world.database_url, key, lambda: _leaves(world), lambda: count(world.base))
    crew_over = Event()
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(crew.watch, crew_over)
        try:
            _torment(world, plan, outcome, load, watching)
            with on_terminal(ERR) as report:
                began = time.monotonic()
                _settle(world, load, report)
                outcome.settled_s = time.monotonic() - began
                outcome.findings += late_views(places, load.expected.total(), report)
        finally:
            crew_over.set()
        watching.result()
    with on_terminal(ERR) as report:
        outcome.findings += _end(crew, world.home, report)
        outcome.balance, found = reckon(places, load.expected, report)
        outcome.findings += found


def _torment(world: World, plan: Plan, outcome: Outcome, load: Load, watching: Future[None]) -> None:
    """Send and strike until time is up. Whatever ends early ends it, and is raised."""
    pulse, over, began = outcome.pulse, Event(), time.monotonic()
    striking = Striking(world.home, pulse.told)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(64))
        stack.callback(over.set)
        tasks = [pool.submit(striking.strike, strokes, began, over) for strokes in in_turn(plan.strokes, plan.workers)]
        sending = pool.submit(load.send, over, lambda: pulse.lag)
        feeling = pool.submit(feel, world.base, world.layout.keyed, pulse, over)
        bars = stack.enter_context(_bars())
        bar = bars.add_task("Torture", total=plan.minutes * 60, now="")
        while (passed := time.monotonic() - began) < plan.minutes * 60:
            bars.update(bar, completed=passed, now=_now(pulse, load))
            ended = [task for task in (watching, sending, feeling) if task.done()]
            failed = [task for task in tasks if task.done() and task.exception()]
            if ended or failed:
                break
            time.sleep(_LOOK_S)
        over.set()
        for task in (*tasks, sending, feeling, *filter(Future.done, [watching])):
            task.result()


def _bars() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, TextColumn("{task.fields[now]}"), console=ERR)


def _now(pulse: Pulse, load: Load) -> str:
    away = ", ".join(f"{stroke.act} {victim}" for victim, stroke in sorted(pulse.now.items()))
    return f"{load.sent:,} sent, {pulse.lag:,} waiting · {away or 'everyone is there'}"


def _settle(world: World, load: Load, report: Report) -> None:
    """Everyone is back: wait until nothing is in flight, receipts of all that was delivered included."""
    for _ in range(SETTLE_ROUNDS):
        _await_hop(world, report)
        before = load.receipts
        if load.sign() and load.receipts == before:
            return
    raise Unavailable("torture.unsettled", f"recipients still find something new after {SETTLE_ROUNDS} rounds")


def _await_hop(world: World, report: Report) -> None:
    most = 0

    def told(lag: int) -> None:
        nonlocal most
        most = max(most, lag)
        report("Waiting until nothing is in flight", most - lag, most)

    await_hop(world.base, GROUP, world.layout.keyed, SETTLE_S, told)


def _end(crew: Crew, home: Home, report: Report) -> list[str]:
    """End the crew; name whoever stopped by a bug of ours, or didn't end in good order."""
    report("Stopping the crew")
    broken = [member.child for member in crew.members if member.is_out]
    stop_crew(home)
    codes = {member.child.name: member.child.exit_code for member in crew.members if member.child not in broken}
    disorderly = [f"{name} didn't end in good order: {code}" for name, code in codes.items() if code != 0]
    return [f"{child.name} stopped by a bug: {child.output_tail(8)}" for child in broken] + disorderly


def _leaves(world: World) -> int:
    data = folder_of(world).read(CHECKPOINT)
    return 0 if data is None else open_checkpoint(data, key_of(world).verifier).size
