"""The duplicate store: staged, then applied; restored from what it said it changed; let go when all is over."""

from __future__ import annotations

from exchange.pipeline.store import REMEMBER_MS, Move, PartitionStore, Restoring, claim_key, pack, unpack
from exchange.pipeline.sweep import Put
from exchange.signatures.gate import AGE_MS_MAX
from exchange.statements import Topic

DAY_MS = 86_400_000


def claim(offset: int = 7, append_ms: int = 1000, states: bytes = b"\x00\x00\x08") -> bytes:
    ordinals = list(range(40, 40 + len(states)))
    return pack(b"d" * 32, offset, append_ms, Topic.DOCUMENTS_URGENT, ordinals, states)


def test_a_claim_reads_back_as_packed() -> None:
    read = unpack(claim())
    assert (read.digest, read.offset, read.append_ms, read.topic) == (
        b"d" * 32,
        7,
        1000,
        Topic.DOCUMENTS_URGENT,
    )
    assert read.ordinals == (40, 41, 42)
    assert [read.state(index) for index in range(3)] == [0, 0, 8]


def test_a_status_claim_has_no_copies() -> None:
    read = unpack(claim(states=b""))
    assert read.ordinals == ()
    assert read.recipients == 0


def test_an_id_is_unique_within_thread_and_sender() -> None:
    keys = {claim_key(*parts) for parts in [("A/1", "A", "1"), ("A/1", "A", "2"), ("A/1", "B", "1"), ("A/2", "A", "1")]}
    assert len(keys) == 4
    assert all(len(key) == 16 for key in keys)


def test_staged_is_visible_in_the_batch_and_gone_after_a_drop() -> None:
    store = PartitionStore()
    store.put(b"k" * 16, claim())
    assert store.get(b"k" * 16) is not None
    store.drop()
    assert store.get(b"k" * 16) is None
    assert store.changes == ([], [], [])


def test_a_dropped_move_leaves_the_applied_state() -> None:
    store = PartitionStore()
    store.put(b"k" * 16, claim())
    store.apply()
    store.move(b"k" * 16, 1, 3)
    moved = store.get(b"k" * 16)
    assert moved is not None
    assert moved.state(1) == 3
    store.drop()
    back = store.get(b"k" * 16)
    assert back is not None
    assert back.state(1) == 0


def test_restoring_the_changes_gives_the_same_store() -> None:
    first, restoring = PartitionStore(), Restoring()
    first.put(b"a" * 16, claim())
    first.move(b"a" * 16, 0, 1)
    puts, moves, forgets = first.changes
    restoring.add([], puts, moves, forgets)
    first.apply()
    assert restoring.store().get(b"a" * 16) == first.get(b"a" * 16)
    first.move(b"a" * 16, 0, 6)
    restoring.add([], [], [Move(b"a" * 16, 0, 6)], [])
    first.apply()
    assert restoring.store().get(b"a" * 16) == first.get(b"a" * 16)


def test_a_clock_an_hour_or_a_day_ahead_makes_nothing_be_forgotten_that_the_gate_still_accepts() -> None:
    now_ms = 100 * DAY_MS
    store = PartitionStore()
    store.put(b"o" * 16, claim(append_ms=now_ms - AGE_MS_MAX, states=b"\x06"))
    store.apply()
    for ahead_ms in (DAY_MS // 24, DAY_MS):
        store.forget(now_ms + ahead_ms - REMEMBER_MS, 100)
        assert store.changes.forgets == []
    store.forget(now_ms + DAY_MS + 1 - REMEMBER_MS, 100)
    assert store.changes.forgets == [b"o" * 16]


def test_old_final_claims_leave_and_unfinished_ones_stay() -> None:
    store = PartitionStore()
    store.put(b"f" * 16, claim(append_ms=1, states=b"\x06\x08"))
    store.put(b"w" * 16, claim(append_ms=2, states=b"\x06\x00"))
    store.put(b"n" * 16, claim(append_ms=50 * DAY_MS, states=b"\x06"))
    store.apply()
    store.forget(46 * DAY_MS, 100)
    assert store.changes.forgets == [b"f" * 16]
    restoring = Restoring()
    restoring.add([], [Put(b"f" * 16, claim())], [], store.changes.forgets)
    assert len(restoring.store()) == 0
    store.apply()
    assert store.get(b"f" * 16) is None
    assert store.get(b"w" * 16) is not None
    assert store.get(b"n" * 16) is not None
