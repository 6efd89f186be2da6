"""Restarting a crew one process after the other, so that a new version takes over while traffic flows.

Guarantees: the next one goes only once the successor of the one before does what that did: a worker of the hop has
taken over partitions, a view gives its figures. A worker's successor reads the directory, which takes longest, beside
its predecessor and ends it then; it bears the same name, so the partitions wait for it and move to nobody. A successor
that doesn't come so far leaves its predecessor at work, and whatever goes wrong, nothing else is touched.

A view is ended and started again, by whoever watches the crew (`exchange run`) or by us. The program itself is replaced
before: whatever is installed when a process starts is what it runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

from exchange.errors import Unavailable
from exchange.local.crew import Crew, Member, watch_file
from exchange.local.endpoint import address_of
from exchange.local.home import Home, exclusive
from exchange.local.processes import ChildProcess
from exchange.local.progress import Report, silent
from exchange.local.waiting import wait_until

READY_S, END_S, BACK_S = 60.0, 30.0, 60.0
"""How long a successor may read, its predecessor may take to end, and the successor to come to work."""

_PARTITIONS = re.compile(r"^exchange_hop_partitions ([0-9.e+]+)$", re.MULTILINE)
_ANSWER_S = 5.0


def roll(home: Home, crew: Crew, report: Report = silent) -> dict[str, float]:
    """Restart everyone who runs; returns how long each was away (s), by name.

    Raises: Unavailable ``crew.absent`` (nobody runs), ``crew.stuck`` (one doesn't end, or its successor doesn't come
        to work), ``home.locked`` (somebody else rolls).
    """
    running = [member for member in crew.members if member.child.is_running]
    if not running:
        raise Unavailable("crew.absent", f"nobody of {home.folder} runs; `exchange run` starts the new version")
    away: dict[str, float] = {}
    with exclusive(home.run / "rolling.lock", 0.0), _unwatched(home) as is_unwatched:
        for number, member in enumerate(running):
            report("Restarting", number, len(running))
            if member.child.name.startswith("hop-"):
                away[member.child.name] = _relieve(home, member)
            else:
                away[member.child.name] = _restart(home, member, start=is_unwatched)
        report("Restarting", len(running), len(running))
    return away


def succeed(predecessor_pid: int, prepare: Callable[[], object]) -> None:
    """In the successor: prepare, then end the predecessor in good order and wait until it has.

    Raises: Unavailable ``crew.stuck`` if it doesn't end.
    """
    predecessor: psutil.Process | None = None
    with contextlib.suppress(psutil.NoSuchProcess):
        predecessor = psutil.Process(predecessor_pid)
    prepare()
    if predecessor is not None:
        _end(predecessor, "the predecessor")


def _end(process: psutil.Process, name: str) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGTERM)
    if not wait_until(lambda: _has_ended(process), END_S):
        raise Unavailable("crew.stuck", f"{name} doesn't end")


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextlib.contextmanager
def _unwatched(home: Home) -> Iterator[bool]:
    """Whether nobody watches, and nobody begins to until the block is over."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(exclusive(watch_file(home), 0.0))
        except Unavailable:
            yield False
            return
        yield True


def _relieve(home: Home, member: Member) -> float:
    """Start a worker's successor beside it, under a name of its own until it has taken over."""
    child, before = member.child, member.child.process()
    was_at_work = _is_at_work(home, member)
    successor = ChildProcess(f"{child.name}.next", home.run, child.ends_by)
    after = [] if before is None else ["--after", str(before.pid)]
    successor.start([*member.command, *after], Path.cwd(), os.environ)
    if before is not None:
        wait_until(lambda: _has_ended(before) or not successor.is_running, READY_S)
        if not _has_ended(before):
            successor.kill()
            successor.forget()
            raise Unavailable("crew.stuck", f"{child.name}'s successor doesn't come:\n{successor.output_tail()}")
    began = time.monotonic()
    successor.pid_file.replace(child.pid_file)
    _await(home, member, was_at_work=was_at_work)
    return time.monotonic() - began


def _restart(home: Home, member: Member, *, start: bool) -> float:
    before = member.child.process()
    was_at_work = _is_at_work(home, member)
    began = time.monotonic()
    if before is not None:
        _end(before, member.child.name)
    if start:
        member.start()
    _await(home, member, was_at_work=was_at_work)
    return time.monotonic() - began


def _await(home: Home, member: Member, *, was_at_work: bool) -> None:
    child = member.child
    if not wait_until(lambda: child.is_running and (_is_at_work(home, member) or not was_at_work), BACK_S):
        raise Unavailable("crew.stuck", f"{child.name} doesn't come back to work:\n{child.output_tail()}")


def _is_at_work(home: Home, member: Member) -> bool:
    """It answers with its figures, and, of a worker of the hop, that partitions are its own."""
    address = address_of(home, member.child.name)
    if not address or not member.child.is_running:
        return False
    asking = HTTPConnection(address, timeout=_ANSWER_S)
    try:
        asking.request("GET", "/metrics")
        figures = asking.getresponse().read().decode("utf-8", "replace")
    except (OSError, HTTPException):
        return False
    finally:
        asking.close()
    partitions = _PARTITIONS.search(figures)
    return partitions is None or float(partitions[1]) > 0
