"""kill -9 at every step of the hop, under load; a successor of the same name goes on, and the books balance."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from exchange.backbone.transaction import STEPS
from tests.support.load import Loaded
from tests.support.workers import Worker, await_owners, crew

pytestmark = pytest.mark.fault

BATCHES_BEFORE = 3
"""The worker dies in the batch after so many committed ones."""


@pytest.fixture(scope="module")
def worker(loaded: Loaded) -> Iterator[Worker]:
    """The worker of all cases; each case leaves its successor."""
    worker = Worker(loaded.world, "hop-1")
    with crew(loaded.world, worker):
        yield worker


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_any_step_loses_and_doubles_nothing(loaded: Loaded, worker: Worker, step: str) -> None:
    await_owners(loaded.world, "hop-1")
    before = loaded.committed()
    with loaded.load():
        worker.plan(step, "kill", nth=BATCHES_BEFORE + 1)
        assert worker.ends() == -signal.SIGKILL
        assert before < loaded.committed()
        worker.start()
        loaded.await_progress(1)
    loaded.balanced()
