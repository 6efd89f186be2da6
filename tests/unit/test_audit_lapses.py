"""The lapses in the deep audit: each missed deadline said once, to whom and of what the trace says, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exchange.agencies import BACKBONE_CODE
from exchange.auditor import Coordinates
from exchange.backbone.reading import Read
from exchange.ledger.promises.deadlines import Deadlines, deadline_of
from exchange.ledger.promises.saying import Batch
from exchange.statements import Fields, identify, schema
from tests.unit.audited_signed import SignedWorld, found
from tests.unit.audited_world import COMMUNES, PARTITIONS, START_MS, document, report, status

HOUR_MS = 3_600_000
TODAY = (START_MS + 7 * HOUR_MS) // (24 * HOUR_MS)
"""The day, in Vietnam, on which it begins."""


def due(fields: Fields, day: int) -> Fields:
    return fields | {"due": day}


@pytest.fixture(scope="module")
def whole() -> SignedWorld:
    """Documents due today, to ten communes and more; some answer in time, some late, one never had a chance."""
    world = SignedWorld(found())
    world.step_ms = HOUR_MS
    first = due(document("G01", "d1", "H01", "H02", "H01.08"), TODAY)
    second = due(document("G01", "d2", *COMMUNES[:10]), TODAY)
    for one in (first, second, due(document("H02", "later", "H01"), TODAY + 1), document("H02", "undated", "H01")):
        world.send("document", one)
    world.send("document", due(document("H02", "overdue", "H01"), TODAY - 1))
    world.send("report", report("H01.01", "r1", "G00"))
    world.hop()
    world.send("status", status("H01", "in-time", first, 1))
    world.send("status", status("H02", "asked", first, 13, said_by="G01"))
    world.send("status", status(COMMUNES[3], "also", second, 1))
    world.hop()
    world.step_ms = 24 * HOUR_MS
    world.send("status", status("H02", "late", first, 15))
    world.hop()
    world.promise(99)
    settle(world, deadline_of(TODAY))
    return world


def settle(world: SignedWorld, until_ms: int) -> None:
    """What the writer of promises does once everything before that moment is known."""
    key = world.founded.authority.backbone.signing_key
    for partition in range(PARTITIONS):
        deadlines, state = Deadlines(), list[tuple[bytes, bytes | None]]()
        for read in world.topics["trace", partition]:
            fields = identify(read.value).decode(read.value)
            for event in fields["events"]:
                state += deadlines.take(fields["topic"], event)
        log = world.topics.setdefault(("lapses", partition), [])
        while (deadline_ms := deadlines.passed(until_ms)) is not None:
            lapses = list(deadlines.lapses(deadline_ms, BACKBONE_CODE, partition, 99))
            state += [change for lapse in lapses for change in lapse.changes]
            batch = Batch(partition, 9, 9, [lapse.statement for lapse in lapses], deadline_ms)
            value = batch.sign(key, BACKBONE_CODE, until_ms, "lapses").value
            log.append(Read("lapses", partition, 2 * len(log), until_ms, b"", value))
        position = world.topics["promises.state", partition][-1]
        next_offset = schema("promised").decode(position.value)["next"]
        promised = schema("promised").encode({"next": next_offset, "settled_ms": until_ms, "decided": []})
        state.append((b"position", promised))
        world.topics["promises.state", partition] = [
            Read("promises.state", partition, place, 0, name, value or b"") for place, (name, value) in enumerate(state)
        ]


def said(world: SignedWorld) -> list[tuple[str, str]]:
    """Document and recipient of each lapse."""
    batches = [
        schema("promises").decode(read.value) for (topic, _), log in world.topics.items() if topic == "lapses"
        for read in log
    ]  # fmt: skip
    lapses = [schema("lapse").decode(raw) for batch in batches for raw in batch["statements"]]
    return sorted((one["id"], one["recipient"]) for one in lapses)


def spoiled(whole: SignedWorld, change: Callable[[list[bytes]], object], deadline_ms: int = 0) -> SignedWorld:
    """A world in which the lapses of today were signed otherwise."""
    world, key = whole.copy(), whole.founded.authority.backbone.signing_key
    log = world.topics["lapses", world.at["d2"].partition]
    fields = schema("promises").decode(log[0].value)
    statements = list(fields["statements"])
    change(statements)
    batch = Batch(fields["partition"], 9, 9, statements, deadline_ms or fields["deadline_ms"])
    log[0] = log[0]._replace(value=batch.sign(key, BACKBONE_CODE, START_MS, "lapses").value)
    return world


def findings(world: SignedWorld) -> list[tuple[str, Coordinates, str]]:
    return [(one.code, one.at, one.id) for one in world.audited(signatures=False).findings]


def rewritten(**changes: object) -> Callable[[list[bytes]], object]:
    """Change the lapse about d2 that is said first."""

    def change(statements: list[bytes]) -> None:
        place = next(n for n, raw in enumerate(statements) if schema("lapse").decode(raw)["id"] == "d2")
        statements[place] = schema("lapse").encode(schema("lapse").decode(statements[place]) | changes)

    return change


def without_one(statements: list[bytes]) -> None:
    statements.remove(next(raw for raw in statements if schema("lapse").decode(raw)["id"] == "d2"))


def test_what_the_writer_says_holds(whole: SignedWorld) -> None:
    silent = [commune for place, commune in enumerate(COMMUNES[:10]) if place != 3]
    assert said(whole) == sorted([("d1", "H02"), *(("d2", commune) for commune in silent)])
    balance = whole.audited()
    assert balance.findings == []
    assert (balance.compared or {})["lapses"] == 10
    assert findings(spoiled(whole, lambda _: None)) == []
    assert findings(spoiled(whole, rewritten(statuses_next=7))) == []  # how far was read isn't judged


def test_one_that_was_not_said(whole: SignedWorld) -> None:
    at = whole.at["d2"]
    assert findings(spoiled(whole, without_one)) == [("audit.missing_lapse", at, "d2")]
    world = whole.copy()
    del world.topics["lapses", at.partition]
    assert ("audit.missing_lapse", at, "d2") in findings(world)


@pytest.mark.parametrize(
    "changes", [{"id": "d3"}, {"to": "G02"}, {"sha256": bytes(32)}, {"thread": "x"}, {"append_ms": 1}, {"sender": "X"}]
)
def test_one_that_says_something_else(whole: SignedWorld, changes: Fields) -> None:
    assert findings(spoiled(whole, rewritten(**changes))) == [("audit.altered_lapse", whole.at["d2"], "d2")]


@pytest.mark.parametrize("changes", [{"recipient": COMMUNES[3]}, {"recipient": "H77"}, {"offset": 99}])
def test_one_of_whom_no_deadline_was_missed(whole: SignedWorld, changes: Fields) -> None:
    at = whole.at["d2"]
    here = Coordinates("lapses", at.partition, 0)
    assert findings(spoiled(whole, rewritten(**changes))) == [
        ("audit.missing_lapse", at, "d2"),
        ("audit.surplus_lapse", here, "d2"),
    ]


def test_one_that_is_said_twice_or_is_none_or_of_another_deadline(whole: SignedWorld) -> None:
    here = Coordinates("lapses", whole.at["d2"].partition, 0)
    twice = spoiled(whole, lambda statements: statements.append(statements[0]))
    assert [one[:2] for one in findings(twice)] == [("audit.surplus_lapse", here)]
    nothing = spoiled(whole, lambda statements: statements.append(b"lapse"))
    assert findings(nothing) == [("audit.altered_lapse", here, "")]
    other = spoiled(whole, lambda _: None, deadline_ms=deadline_of(TODAY) + 1)
    assert {(code, at) for code, at, _ in findings(other)} == {("audit.altered_lapse", here)}


def test_of_a_deadline_that_is_being_settled_nothing_is_missing_yet(whole: SignedWorld) -> None:
    """The state holds what is still to be said; and lapses beyond what it says is settled are no surplus."""
    at = whole.at["d2"]
    world = spoiled(whole, without_one)
    state = world.topics["promises.state", at.partition]
    awaited = next(read for read in state if len(read.key or b"") == 16 and read.value and b"d2" in read.value)
    state.append(awaited._replace(offset=state[-1].offset + 1))
    assert findings(world) == []
    world = spoiled(whole, without_one)
    state = world.topics["promises.state", at.partition]
    position = schema("promised").decode(state[-1].value)
    state[-1] = state[-1]._replace(value=schema("promised").encode(position | {"settled_ms": 0}))
    assert findings(world) == []
