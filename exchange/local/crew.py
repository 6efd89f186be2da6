"""The processes of ours on one machine: workers of the hop and the views, started, watched, stopped.

Guarantees: a process that ends by `Fenced` or by a signal is started again, with a growing pause; a worker of the hop
that ends by a bug of ours (exit code `BUG`) stops the whole crew, loudly; a view that does stays down, loudly, and
documents flow on without it. Stopping is orderly: nobody is killed who can
still commit. The crew outlives the program that started it; its pid files are in the home.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import structlog

from exchange.errors import InvariantBroken
from exchange.local.endpoint import address_of
from exchange.local.home import Home, exclusive, is_port_free
from exchange.local.processes import ChildProcess, stop_together
from exchange.local.services import ProcessRow, row_of

BUG = 70
"""Exit code of a process that found its own invariant broken (sysexits' EX_SOFTWARE)."""

PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 10.0
STEADY_S = 10.0
"""Who ran for so long did start: if it is killed then, it is started again at once, however often that was before."""
_WATCH_S = 0.2
WATCHED_S = 60.0
"""How long to wait for another who watches, or rolls, to be done."""
_VIEWS = {
    "trace-store": "project",
    "throughput": "count",
    "ledger": "write-ledger",
    "promises": "sign-promises",
    "archive": "write-archive",
    "observer": "observe",
    "books": "close-hour --follow",
}
"""The views' processes and their commands."""
_CONSOLE = "console"
CONSOLE_PORT = 8490
_PORTS_TRIED = 100


@dataclass(slots=True)
class Member:
    """One process of the crew, and how it is started."""

    child: ChildProcess
    command: list[str]
    started: float = 0.0
    pause_s: float = PAUSE_S_MIN
    is_out: bool = False

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it, as whatever version is installed now."""
        self.started = time.monotonic()
        self.child.start(self.command, Path.cwd(), environment or os.environ)


log = structlog.get_logger(__name__)


class Crew:
    """The workers ``hop-1`` … ``hop-N`` and the views, such as ``trace-store``. `options`: the global ones.

    `console_port`: of the console, if it is one of the crew. `without`: views that are left out.
    """

    def __init__(
        self,
        home: Home,
        options: list[str],
        workers: int,
        console_port: int | None = None,
        without: Collection[str] = (),
    ) -> None:
        self._home = home
        self.members: list[Member] = []
        for name, command in _commands(workers, console_port).items():
            if name in without:
                continue
            child = ChildProcess(name, home.run, signal.SIGTERM)
            self.members.append(Member(child, [sys.executable, "-m", "exchange", *options, *command]))

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start whoever doesn't run yet."""
        for member in self.members:
            if not member.child.is_running:
                member.start(environment)

    def watch(self, stop: Event) -> None:
        """Keep everyone running until `stop`; InvariantBroken when a worker of the hop found a bug of ours.

        Raises: Unavailable ``home.locked`` if somebody else watches the crew of this home.
        """
        with exclusive(watch_file(self._home), WATCHED_S):
            self._watch(stop)

    def _watch(self, stop: Event) -> None:
        while not stop.wait(_WATCH_S):
            for member in self.members:
                if member.child.is_running or member.is_out:
                    continue
                if member.child.exit_code != BUG:
                    self._restart(member, stop)
                elif not _is_hop(member.child.name):  # documents flow on without it
                    member.is_out = True
                    log.critical("crew.view_stopped_by_a_bug", name=member.child.name, said=member.child.output_tail(8))
                else:
                    raise InvariantBroken(f"{member.child.name}: {member.child.output_tail(8)}")

    def _restart(self, member: Member, stop: Event) -> None:
        steady = time.monotonic() - member.started > STEADY_S
        member.pause_s = PAUSE_S_MIN if steady else min(member.pause_s * 2, PAUSE_S_MAX)
        if not stop.wait(member.pause_s) and not member.child.is_running:  # a successor may have come: see `rolling`
            member.start()


def watch_file(home: Home) -> Path:
    """Held by whoever watches the crew, or must be sure that nobody does."""
    return home.run / "watch.lock"


def crew_of(home: Home) -> list[ChildProcess]:
    """Whoever of a crew left a pid file in the home."""
    if not home.run.is_dir():
        return []
    names = sorted(path.stem for path in home.run.glob("*.pid"))
    return [ChildProcess(name, home.run, signal.SIGTERM) for name in names if _is_ours(name)]


def crew_status(home: Home) -> list[ProcessRow]:
    """The crew's processes, living or not; their addresses are those of their figures."""
    return [replace(row_of(child), address=address_of(home, child.name)) for child in crew_of(home)]


def stop_crew(home: Home) -> None:
    """Stop all of a crew in good order; idempotent."""
    stop_together(crew_of(home))


def console_port() -> int:
    """A port for a console: `CONSOLE_PORT`, or the next that is free."""
    tried = range(CONSOLE_PORT, CONSOLE_PORT + _PORTS_TRIED)
    return next(filter(is_port_free, tried), CONSOLE_PORT)


def _is_ours(name: str) -> bool:
    return name in _VIEWS or name == _CONSOLE or _is_hop(name)


def _is_hop(name: str) -> bool:
    return name.startswith("hop-")


def _commands(workers: int, console: int | None) -> dict[str, list[str]]:
    hops = {f"hop-{number}": ["worker", f"hop-{number}"] for number in range(1, workers + 1)}
    views = {name: command.split() for name, command in _VIEWS.items()}
    return hops | views | ({} if console is None else {_CONSOLE: ["console", "--port", str(console)]})
