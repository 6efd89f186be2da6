"""What all tests share: the real Kafka and PostgreSQL, started once a run, in a home of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.local.home import Home
from exchange.local.services import Services, down, up


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
