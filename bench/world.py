"""A world to measure in: the embedded Kafka and PostgreSQL in a temporary home, the directory of 2022, a cast."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.results import told
from exchange.cli.services import prepare
from exchange.cli.world import World
from exchange.local.founding import now_ms
from exchange.local.home import Home
from exchange.local.progress import silent
from exchange.local.services import down, status, up
from exchange.local.simulation.cast import Cast, choose, gather

SEED = 2022


@dataclass(frozen=True, slots=True)
class BenchWorld:
    """The world and who takes part in it. `broker`: Kafka's process."""

    world: World
    cast: Cast
    broker: psutil.Process


@contextmanager
def bench_world() -> Iterator[BenchWorld]:
    """A world of its own, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-bench-"))
    world = World(Home(folder / "home"))
    try:
        told("starting Kafka and PostgreSQL, founding the directory")
        up(world.home)
        prepare(world, silent, change=True)
        view = world.directory_log.directory.latest()
        cast = gather(world.authority, world.base, view, choose(view, SEED, now_ms()))
        world.directory_log.catch_up()
        kafka = next(row for row in status(world.home) if row.name.startswith("kafka") and row.pid is not None)
        yield BenchWorld(world, cast, psutil.Process(kafka.pid))
    finally:
        down(world.home)
        shutil.rmtree(folder, ignore_errors=True)
