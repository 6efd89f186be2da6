"""What all tests share: the real Kafka and PostgreSQL, started once a run, in a home of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.local.home import Home
from exchange.local.services import Services, down, up
from tests.support.running import Exchange, running_exchange
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
    with running_exchange() as shared:
        yield shared


@pytest.fixture
def fresh_exchange() -> Iterator[Exchange]:
    """An exchange of this one test, which does to it what others would miss."""
    with running_exchange() as fresh:
        yield fresh


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Token:
    """A PKCS#11 token for the run; skips where SoftHSM isn't installed."""
    if MODULE is None:
        pytest.skip(ABSENT)
    return made_token(tmp_path_factory.mktemp("softhsm"))
