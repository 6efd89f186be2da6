"""What all tests share: the real Kafka and PostgreSQL, started once a run, in a home of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.cli.running import options_of
from exchange.cli.services import prepare
from exchange.cli.world import World
from exchange.local.crew import Crew, stop_crew
from exchange.local.home import Home
from exchange.local.progress import silent
from exchange.local.services import Services, down, up
from tests.support.running import Exchange
from tests.support.tokens import ABSENT, MODULE, Token, made_token


@pytest.fixture
def fresh_home() -> Iterator[Home]:
    """A home of this one test; whatever it started is stopped, also when the test fails."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-test-"))
    home = Home(folder / "home")
    try:
        yield home
    finally:
        down(home)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The embedded services, shared by all integration tests of the run: use names of your own in them."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-tests-"))
    home = Home(folder / "home")
    try:
        yield up(home)
    finally:
        down(home)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def exchange() -> Iterator[Exchange]:
    """A running exchange with one worker of the hop, shared by the scenarios of the run."""
    folder = Path(tempfile.mkdtemp(prefix="exchange-world-"))
    world = World(Home(folder / "home"))
    try:
        up(world.home)
        prepare(world, silent, change=True)
        Crew(world.home, options_of(world), workers=1).start()
        yield Exchange(world)
    finally:
        stop_crew(world.home)
        down(world.home)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Token:
    """A PKCS#11 token for the run; skips where SoftHSM isn't installed."""
    if MODULE is None:
        pytest.skip(ABSENT)
    return made_token(tmp_path_factory.mktemp("softhsm"))
