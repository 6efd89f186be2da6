"""A crew is restarted one by one under load, as for a new version: nothing is lost, nothing stands still for long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from exchange.backbone.reading import read_to_end
from exchange.cli.running import options_of
from exchange.errors import Unavailable
from exchange.local.crew import Crew, stop_crew
from exchange.local.founding import now_ms
from exchange.local.rolling import roll
from exchange.statements import schema
from tests.support.load import Loaded
from tests.support.workers import await_owners

pytestmark = pytest.mark.fault

STANDSTILL_MS_MAX = 10_000
NAMES = ("hop-1", "hop-2")


def workers_of(loaded: Loaded) -> Crew:
    """Two workers of the hop, the real ones, and no views."""
    crew = Crew(loaded.world.home, options_of(loaded.world), workers=2)
    crew.members[:] = [member for member in crew.members if member.child.name in NAMES]
    return crew


@contextmanager
def at_work(loaded: Loaded, *, watched: bool) -> Iterator[Crew]:
    """The crew, with or without somebody who starts again whoever ends."""
    crew, stop = workers_of(loaded), Event()
    watching = Thread(target=crew.watch, args=(stop,))
    try:
        crew.start()
        await_owners(loaded.world, *NAMES)
        if watched:
            watching.start()
        yield crew
    finally:
        stop.set()
        if watched:
            watching.join(30)
        stop_crew(loaded.world.home)


def longest_wait_ms(loaded: Loaded, since_ms: int) -> int:
    """How long a submission waited for its event at most, of those that came since then."""
    waited = [0]
    for portion in read_to_end(loaded.world.base, {("trace", p): None for p in range(loaded.world.layout.keyed)}):
        for read in portion:
            if read.append_ms >= since_ms:
                events = schema("trace").decode(read.value)["events"]
                waited += [read.append_ms - event["append_ms"] for event in events if event["append_ms"] >= since_ms]
    return max(waited)


@pytest.mark.parametrize("watched", [False, True])
def test_one_by_one_under_load(loaded: Loaded, watched: bool) -> None:
    with at_work(loaded, watched=watched):
        with loaded.load():
            loaded.await_progress(100)
            crew = workers_of(loaded)  # as `exchange roll` finds it
            before = {member.child.name: member.child.process() for member in crew.members}
            since_ms = now_ms()
            away = roll(loaded.world.home, crew)
            loaded.await_progress(100)
        assert tuple(away) == NAMES
        after = {member.child.name: member.child.process() for member in crew.members}
        assert all(after[name] is not None and after[name] != before[name] for name in NAMES)
        loaded.balanced()
    waited_ms = longest_wait_ms(loaded, since_ms)
    print(f"away {away}, longest wait {waited_ms} ms")  # noqa: T201
    assert waited_ms < STANDSTILL_MS_MAX


def test_a_version_that_does_not_start_stops_after_the_first(loaded: Loaded) -> None:
    with at_work(loaded, watched=False):
        crew = workers_of(loaded)
        crew.members[0].command[-1:] = ["a-name", "too-many"]
        before = [member.child.process() for member in crew.members]
        with pytest.raises(Unavailable, match="hop-1's successor doesn't come"):
            roll(loaded.world.home, crew)
        assert [member.child.process() for member in crew.members] == before
        with loaded.load():
            loaded.await_progress(100)
    with at_work(loaded, watched=False):
        loaded.balanced()


def test_nobody_to_roll(loaded: Loaded) -> None:
    with pytest.raises(Unavailable) as absent:
        roll(loaded.world.home, workers_of(loaded))
    assert absent.value.code == "crew.absent"
