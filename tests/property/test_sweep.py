"""Whatever happens while a sweep runs, a restore from where a whole one began gives the whole store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.errors import InvariantBroken
from exchange.pipeline import sweep
from exchange.pipeline.store import Move, PartitionStore, Restoring, pack
from exchange.pipeline.sweep import Put
from exchange.statements import Topic
from exchange.statements.status import FINISHED

DEATH, ABORT, BATCH = "death", "abort", "batch"


class Record(NamedTuple):
    """A changelog record, as a restore is given it."""

    carried: list[Put]
    puts: list[Put]
    moves: list[Move]
    forgets: list[bytes]


class Step(NamedTuple):
    """What a worker does next: `puts` new claims, `moves` of claims it has by number, `forgets` of the oldest."""

    what: str
    puts: int
    moves: list[int]
    forgets: int


steps = st.builds(
    Step,
    st.sampled_from([BATCH] * 8 + [ABORT, DEATH]),
    st.integers(0, 3),
    st.lists(st.integers(0, 40), max_size=3, unique=True),
    st.integers(0, 2),
)


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    """Sweeps that begin after a few claims, and carry two or three at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "BURDEN_MIN", 6)
        patch.setattr(sweep, "CARRIED_BYTES", 150)
        yield


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def claim(number: int) -> bytes:
    return pack(bytes(32), number, number, Topic.DOCUMENTS, [7], b"\0")


class Worker:
    """A partition's changelog, the store over it, and which claims it should hold."""

    def __init__(self) -> None:
        self.log: list[Record] = []
        self.store = PartitionStore()
        self.made = 0
        self.noted = 0

    def step(self, step: Step) -> None:
        if step.what == DEATH:
            self.store = self.restored(self.noted)
            return
        store = self.store
        if store.is_sweep_due:
            store.begin_sweep(len(self.log))
        old = list(store._applied)
        for number in range(self.made, self.made + step.puts):
            store.put(key(number), claim(number))
        gone = [k for k in old[: step.forgets] if store.get(k) is not None]
        for number in step.moves:
            if store.get(key(number)) is not None and key(number) not in gone:
                store.move(key(number), 0, FINISHED)
        store.changes.forgets.extend(gone)
        puts, moves, forgets = store.changes
        record = Record(store.carry(), [*puts], [*moves], [*forgets])
        if step.what == ABORT:
            store.drop()
            return
        self.made += step.puts
        self.noted = store.sweep.whole_from
        self.log.append(record)
        expected = store.claims_after
        store.apply()
        assert len(store) == expected

    def restored(self, start: int) -> PartitionStore:
        restoring = Restoring(start)
        for record in self.log[start:]:
            restoring.add(*record)
        return restoring.store()


@given(st.lists(steps, max_size=80))
def test_reading_from_a_whole_sweep_gives_the_store(taken: list[Step]) -> None:
    worker = Worker()
    for step in taken:
        worker.step(step)
        for start in {worker.noted, worker.store.sweep.whole_from, 0}:
            assert worker.restored(start)._applied == worker.store._applied


def test_sweeps_do_become_whole_and_bound_what_is_read() -> None:
    worker = Worker()
    for _ in range(400):
        worker.step(Step(BATCH, 1, [], 1 if len(worker.store) > 20 else 0))
    assert len(worker.log) - worker.noted < 60
    assert list(worker.restored(worker.noted)._applied) == list(worker.store._applied), "not in order of age"


def test_a_sweep_ends_however_fast_claims_come() -> None:
    worker = Worker()
    for _ in range(40):
        worker.step(Step(BATCH, 30, [], 30 if len(worker.store) > 100 else 0))
    assert len(worker.log) - worker.noted < 16


@pytest.mark.parametrize(("moves", "forgets"), [([Move(key(1), 0, FINISHED)], []), ([], [key(1)])])
def test_what_was_never_made_is_found_in_a_log_read_from_its_beginning(moves: list[Move], forgets: list[bytes]) -> None:
    with pytest.raises(InvariantBroken, match="never made"):
        Restoring().add([], [], moves, forgets)
