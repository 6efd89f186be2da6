"""Deadlines: whose receipt counts, what remains to be said, and that the topic's state makes them again."""

from __future__ import annotations

from exchange.ledger.promises.deadlines import KEY_BYTES, Change, Deadlines, deadline_of, key_of
from exchange.statements import schema
from tests.support import traces

DUE = 20_371
DEADLINE_MS = deadline_of(DUE)
DOCUMENT = traces.accepted(0, traces.H26, "d-0", [traces.G04, traces.H01], summary=traces.summary(due=DUE))


def lapsed(deadlines: Deadlines, deadline_ms: int = DEADLINE_MS) -> list[str]:
    """Whose copies lapse at that deadline."""
    found = [schema("lapse").decode(one.statement) for one in deadlines.lapses(deadline_ms, "axis", 2, 9)]
    assert all((one["sender"], one["to"], one["id"]) == ("axis", traces.H26, "d-0") for one in found)
    assert all((one["partition"], one["offset"], one["statuses_next"]) == (2, 0, 9) for one in found)
    return [one["recipient"] for one in found]


def test_the_deadline_is_the_end_of_the_day_in_vietnam() -> None:
    assert deadline_of(0) == 17 * 3_600_000
    assert deadline_of(20_371) == 1_760_115_600_000  # 2025-10-11 00:00 at +07:00


def test_who_does_not_answer_in_time_lapses() -> None:
    deadlines = Deadlines()
    deadlines.take("documents", DOCUMENT)
    assert len(deadlines) == 2
    assert deadlines.passed(DEADLINE_MS - 1) is None
    assert deadlines.passed(DEADLINE_MS) == DEADLINE_MS
    deadlines.take("statuses", traces.status(1, 1, DOCUMENT, traces.G04, 1))
    assert lapsed(deadlines) == [traces.H01]
    assert len(deadlines) == 0
    assert deadlines.passed(DEADLINE_MS) is None


def test_only_the_recipients_own_word_in_time_is_a_receipt() -> None:
    deadlines = Deadlines()
    deadlines.take("documents", DOCUMENT)
    others = [
        traces.status(1, 13, DOCUMENT, traces.G04, 0x10),  # the sender's
        traces.status(2, 1, DOCUMENT, traces.G04, 1, outcome="rejected"),
        traces.status(3, 1, DOCUMENT, traces.G04, 1, append_ms=DEADLINE_MS),
        traces.status(4, 1, DOCUMENT | {"thread": "another"}, traces.G04, 1),
    ]
    for event in others:
        assert deadlines.take("statuses", event) == []
    assert deadlines.take("statuses", traces.status(5, 1, DOCUMENT, traces.G04, 1, append_ms=DEADLINE_MS - 1))
    assert lapsed(deadlines) == [traces.H01]


def test_what_has_no_deadline_or_one_that_had_passed_waits_for_nothing() -> None:
    deadlines = Deadlines()
    unreachable = [traces.copy(traces.G04, partition=-1)]
    for event in (
        traces.accepted(0, traces.H26, "a", [traces.G04]),
        traces.accepted(0, traces.H26, "b", [traces.G04], summary=None),
        DOCUMENT | {"append_ms": DEADLINE_MS},
        DOCUMENT | {"deliveries": unreachable},
        DOCUMENT | {"outcome": "duplicate"},
    ):
        assert deadlines.take("documents", event) == []
    deadlines.settled_ms = DEADLINE_MS
    assert deadlines.take("documents", DOCUMENT) == []


def test_the_written_state_makes_the_same_deadlines_again() -> None:
    first = Deadlines()
    changes: list[Change] = first.take("documents", DOCUMENT)
    changes += first.take("documents", DOCUMENT | {"id": "d-1"})
    changes += first.take("statuses", traces.status(1, 1, DOCUMENT, traces.H01, 1))
    changes += first.take("statuses", traces.status(2, 3, DOCUMENT, traces.H01, 3))
    answered = DOCUMENT | {"id": "d-1"}
    changes += first.take("statuses", traces.status(3, 1, answered, traces.G04, 1))
    changes += first.take("statuses", traces.status(4, 1, answered, traces.H01, 1))
    again = Deadlines()
    again.restore(changes)
    assert len(again) == len(first) == 1
    assert lapsed(again) == lapsed(first) == [traces.G04]
    kept = {key: value for key, value in changes if value is not None}
    over = {key for key, value in changes if value is None}
    key = key_of(answered["thread"], answered["sender"], "d-1")
    assert {one for one in kept if one[:KEY_BYTES] == key} <= over  # nothing of what is over stays in the topic
