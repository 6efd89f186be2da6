"""One world for all fault tests: its traffic accumulates, and after each test the books of all of it must balance."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exchange.cli.services import prepare
from exchange.cli.world import World
from exchange.local.home import Home
from exchange.local.progress import silent
from exchange.local.services import down, up
from tests.support.load import Loaded


@contextmanager
def a_world(nodes: int = 1, place: Path | None = None) -> Iterator[World]:
    """A founded world with its services up and no workers. `place`: its home, which stays; else a folder that goes."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-faults-"))
    world = World(Home(place or folder / "home"))
    try:
        up(world.home, nodes=nodes)
        prepare(world, silent, change=True)
        yield world
    finally:
        down(world.home)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def loaded() -> Iterator[Loaded]:
    """The shared world. A test starts its own workers and leaves none behind."""
    with a_world() as world:
        yield Loaded(world)
