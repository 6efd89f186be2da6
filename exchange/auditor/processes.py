"""The shares of an audit, each in a process of its own, for the interpreter keeps one process to one core.

Guarantees: what the shares found comes back in their order, or nothing does: a share that fails or is killed ends the
others and is an error. Nobody is left behind: the processes end with the one that waits for them, however that ends,
Ctrl-C included. They begin anew rather than by a fork, which would copy the Kafka clients' locks without their threads.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from exchange.auditor.share import Share
from exchange.errors import ExchangeError, InvariantBroken, Unavailable

Tell = Callable[[str, int, int], None]
"""Told what is going on, and how far it is of how much."""

Found = TypeVar("Found")
Work = Callable[[Share, Tell], Found]
"""What one share does. It is pickled, and so is what it returns."""

YOUNG = 50_000
"""Objects made before the collector looks for cycles: what is decoded makes none, so it looks a tenth of the time."""

_SPAWN = get_context("spawn")


@dataclass(slots=True)
class _Running(Generic[Found]):
    share: Share
    process: SpawnProcess
    told: Connection[Any, Any]
    found: list[Found]


def in_processes(work: Work[Found], count: int, tell: Tell) -> list[Found]:
    """What each of `count` shares found. `tell`: told how far the first unfinished one is; they are alike.

    Raises: what a share raised; Unavailable ``audit.process_killed``; InvariantBroken: one of them ended by a bug.
    """
    running: list[_Running[Found]] = []
    try:
        running.extend(_start(work, Share(number, count)) for number in range(count))
        while unfinished := [one for one in running if not one.found]:
            ready = wait([one.told for one in unfinished])
            for one in unfinished:
                if one.told in ready:
                    _hear(one, tell if one is unfinished[0] else None)
        return [one.found[0] for one in running]
    finally:
        _end(running)


def _start(work: Work[Found], share: Share) -> _Running[Found]:
    hearing, telling = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_run, args=(work, share, telling), name=f"audit-{share.number}", daemon=True)
    process.start()
    telling.close()
    return _Running(share, process, hearing, [])


def _hear(one: _Running[Found], tell: Tell | None) -> None:
    try:
        kind, said = one.told.recv()
    except (EOFError, OSError) as exc:
        one.process.join()
        code, name = one.process.exitcode or 0, f"share {one.share.number + 1} of {one.share.of}"
        if code < 0:
            raise Unavailable("audit.process_killed", f"{name} by {signal.Signals(-code).name}") from exc
        raise InvariantBroken(f"{name} of the audit ended with code {code} and told nothing") from exc
    if kind == "found":
        one.found.append(said)
    elif kind == "failed":
        raise said
    elif tell is not None:
        tell(*said)


def _end(running: Sequence[_Running[Any]]) -> None:
    """They only read, so there is nothing that they would have to finish."""
    for one in running:
        if not one.found:
            one.process.kill()
    for one in running:
        one.process.join()
        one.told.close()


def _run(work: Work[Any], share: Share, telling: Connection[Any, Any]) -> None:
    """Do a share's work and tell what it found."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the one that waits answers it
    gc.set_threshold(YOUNG)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        found = work(share, lambda *said: telling.send(("told", said)))
    except ExchangeError as exc:
        telling.send(("failed", exc))
    else:
        telling.send(("found", found))


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
