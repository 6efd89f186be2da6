"""The embedded services of a home together: up, down, status.

Guarantees: `up` returns when Kafka and PostgreSQL answer; it is idempotent, brings back what was killed,
and leaves no process that it started when it fails or is interrupted. `down` leaves none at all. Two calls
on one home wait for each other, two homes don't meet. The services outlive the program that called `up`.
Does not: watch or restart anything afterwards; no network of the machine sees them, its other users do
(Kafka asks for no password).
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil

from exchange.local.disk import DISK_FULL_BYTES, disk_free_bytes
from exchange.local.home import Home
from exchange.local.kafka import KafkaCluster
from exchange.local.kafka_settings import HEAP_MIB
from exchange.local.postgres import PostgresServer
from exchange.local.processes import ChildProcess, interrupts_deferred, stop_together
from exchange.local.progress import Report, silent


@dataclass(frozen=True, slots=True)
class Services:
    """Where the running services are, in the words of their clients. The URL holds no password.

    `outside_servers`: where agencies reach Kafka; None while no listener is open for them.
    """

    bootstrap_servers: str
    database_url: str
    outside_servers: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process of a home as `status` sees it.

    `state`: ``crashed`` means that it ended without `down`. `since`: UTC, this machine's clock.
    `resident_bytes`: with all its children, shared memory counted in each. `disk_bytes`: as allocated.
    `disk_free_bytes`: what is left where its data are; None for a process without any.
    """

    name: str
    pid: int | None
    state: Literal["running", "stopped", "crashed"]
    resident_bytes: int
    since: datetime | None
    address: str
    disk_bytes: int
    disk_free_bytes: int | None = None

    @property
    def is_disk_full(self) -> bool:
        """Whether so little is left that the process can't go on, or will soon not."""
        return self.disk_free_bytes is not None and self.disk_free_bytes < DISK_FULL_BYTES


def up(
    home: Home, report: Report = silent, *, nodes: int = 1, heap_mib: int = HEAP_MIB, outside: bool = False
) -> Services:
    """Start what doesn't run and wait until it answers.

    `nodes`: Kafka brokers, 1 or 3, fixed with the home. `heap_mib`: a broker's Java heap. `outside`: open a listener
    for agencies, from now on.
    KeyboardInterrupt, and any error, stops what this call started and nothing else.
    Raises: Unavailable (download, start, another `up` at work: try again), Misconfigured.
    """
    home.create()
    with home.locked():
        home.settle(nodes)
        kafka, postgres = KafkaCluster(home, nodes, heap_mib), PostgresServer(home)
        ours = [process for process in _processes(kafka, postgres) if not process.is_running]
        if outside:
            kafka.open_outside()
        try:
            kafka.start(report)
            postgres.start(report)
            report("Waiting for PostgreSQL")
            postgres.wait_ready()
            report("Waiting for Kafka")
            kafka.wait_ready()
            return Services(kafka.bootstrap_servers, postgres.url, kafka.outside_servers)
        except BaseException:
            with interrupts_deferred():
                stop_together(ours)
            raise


def down(home: Home) -> None:
    """Stop everything that the home runs, in good order, by SIGKILL what isn't done in 30 s; idempotent."""
    if not home.folder.exists():
        return
    with home.locked():
        if (state := home.state()) is not None:
            stop_together(_processes(KafkaCluster(home, state.nodes), PostgresServer(home)))


def status(home: Home) -> list[ProcessRow]:
    """List the processes of the home, living or not; empty before its first `up`. Changes nothing."""
    state = home.state()
    if state is None:
        return []
    kafka, postgres = KafkaCluster(home, state.nodes), PostgresServer(home)
    rows = [
        row_of(process, state.ports.get(process.name), kafka.data_folder(number))
        for number, process in kafka.processes.items()
    ]
    return [*rows, row_of(postgres.process, state.ports.get("postgres"), postgres.data_folder)]


def _processes(kafka: KafkaCluster, postgres: PostgresServer) -> list[ChildProcess]:
    return [*kafka.processes.values(), postgres.process]


def row_of(child: ChildProcess, port: int | None = None, data: Path | None = None) -> ProcessRow:
    """What `status` says of one process; `data`: the folder whose disk it fills."""
    process = child.process()
    state: Literal["running", "stopped", "crashed"] = "crashed" if child.has_crashed else "stopped"
    return ProcessRow(
        name=child.name,
        pid=process.pid if process else None,
        state="running" if process else state,
        resident_bytes=_resident_bytes(process) if process else 0,
        since=datetime.fromtimestamp(process.create_time(), UTC) if process else None,
        address=f"127.0.0.1:{port}" if port else "",
        disk_bytes=0 if data is None else _disk_bytes(data),
        disk_free_bytes=None if data is None or not data.exists() else disk_free_bytes(data),
    )


def _resident_bytes(process: psutil.Process) -> int:
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += member.memory_info().rss
    return total


def _disk_bytes(folder: Path) -> int:
    """Sum what is allocated below `folder`; files that come and go meanwhile don't matter."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_blocks * 512
    return total
