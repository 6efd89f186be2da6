"""The backbone's promises on the real Kafka: each once, whatever dies; deadlines that pass without a receipt."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.errors import Fenced, InvariantBroken, Rejected
from exchange.ledger.promises import INCLUDED_WITHIN_MS
from exchange.ledger.promises import writer as writing
from exchange.ledger.promises.deadlines import deadline_of
from exchange.ledger.promises.writer import CLOCKS_MS, STEPS
from exchange.local.services import Services
from exchange.signatures import open_word
from exchange.signatures.certificates import parse
from exchange.statements import Topic
from tests.support import traces
from tests.support.promise_world import BOTH, PromiseWorld, promise_world
from tests.support.traces import G04, H01, H26

pytestmark = pytest.mark.integration

DUE = 20_371
DEADLINE_MS = deadline_of(DUE)


@pytest.fixture
def world(services: Services, tmp_path: Path) -> PromiseWorld:
    return promise_world(services, tmp_path)


def documents(first: int, count: int) -> list[traces.Event]:
    """Accepted documents of one partition."""
    return [traces.accepted(n, H26, f"d-{n}", [G04]) for n in range(first, first + count)]


def test_every_decision_is_promised_once_and_found_by_its_place(world: PromiseWorld) -> None:
    assert world.writer().catch_up() == 0
    world.happen(0, *documents(0, 3), traces.event(3, "kẻ lạ", "d-3"))
    world.happen(2, *documents(0, 40))
    assert world.writer().catch_up() == 44
    world.now_ms += 5
    world.happen(0, *documents(4, 2))
    world.happen(0, traces.event(0, H01, "s-0", verified=True, code="status.unknown"), topic=Topic.STATUSES)
    assert world.writer().catch_up() == 3
    assert world.writer().catch_up() == 0
    promised = world.promised()
    assert len(promised) == 47
    assert set(promised.values()) == {1}
    (found,) = world.find(lambda finder: [one for one in [finder.promise(2, 0, 39)] if one])
    assert (found.fields["id"], found.fields["to"], found.fields["outcome"]) == ("d-39", H26, "accepted")
    assert found.fields["included_ms"] == traces._FIRST_MS + INCLUDED_WITHIN_MS
    (found,) = world.find(lambda finder: [one for one in [finder.promise(0, 2, 0)] if one])
    assert (found.fields["topic"], found.fields["code"], found.fields["verified"]) == ("statuses", "status.unknown", 1)
    assert found.fields["included_ms"] == world.now_ms + INCLUDED_WITHIN_MS
    assert world.find(lambda finder: [one for one in [finder.promise(0, 3, 0), finder.promise(1, 0, 0)] if one]) == []


def test_a_promise_verifies_by_the_backbones_certificate_only_and_as_it_was_said(world: PromiseWorld) -> None:
    world.happen(1, *documents(0, 5))
    world.writer().catch_up()
    (found,) = world.find(lambda finder: [one for one in [finder.promise(1, 0, 2)] if one])
    stranger = parse(world.authority.registrar.certificate)
    with pytest.raises(Rejected, match=r"signature\.not_the_senders"):
        open_word(found.record, stranger, BOTH)
    with pytest.raises(Rejected, match=r"statement\.kind_not_accepted"):
        open_word(found.record, parse(world.authority.backbone.certificate), ("lapse",))
    altered = found.record.replace(b"d-2", b"d-7")
    with pytest.raises(Rejected, match=r"batch\.other_root"):
        world.opened(altered)


@pytest.mark.fault
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_each_promise_and_lapse_is_given_once(world: PromiseWorld, step: str) -> None:
    world.happen(0, *documents(0, 10))
    world.writer().catch_up()
    world.happen(1, traces.accepted(0, H26, "due", [G04, H01], summary=traces.summary(due=DUE)))
    world.happen(0, *documents(10, 10))
    world.kill_at(step, 1)
    world.now_ms = DEADLINE_MS + CLOCKS_MS
    if step != "read":  # nothing is read for a lapse
        world.kill_at(step, 1 if step == "committed" else 2)
    world.writer().catch_up()
    assert set(world.promised().values()) == {1}
    assert len(world.promised()) == 21
    assert world.lapsed() == {("due", G04): 1, ("due", H01): 1}


@pytest.mark.fault
@pytest.mark.parametrize("step", ["read", "signed", "produced"])
def test_a_second_writer_fences_the_first_and_nothing_is_promised_twice(world: PromiseWorld, step: str) -> None:
    world.happen(0, *documents(0, 10))
    taken_over = list[str]()

    def take_over(reached: str) -> None:
        if reached == step and not taken_over:
            taken_over.append(step)
            world.writer().catch_up()
            world.happen(1, *documents(0, 5))

    with pytest.raises(Fenced):
        world.writer(take_over).catch_up()
    assert taken_over
    world.writer().catch_up()
    assert len(world.promised()) == 15
    assert set(world.promised().values()) == {1}


def test_without_its_state_nothing_is_promised_a_second_time(world: PromiseWorld) -> None:
    world.happen(0, *documents(0, 3))
    assert world.writer().catch_up() == 3
    world.lose_state()
    with pytest.raises(InvariantBroken, match="holds promises"):
        world.writer().catch_up()
    assert set(world.promised().values()) == {1}


def test_a_deadline_lapses_for_those_who_did_not_answer_in_time_whenever_it_is_read(world: PromiseWorld) -> None:
    due = traces.accepted(0, H26, "due", [G04, H01, "H02"], summary=traces.summary(due=DUE))
    world.happen(1, due, traces.accepted(1, H26, "later", [G04], summary=traces.summary(due=DUE + 1)))
    world.writer().catch_up()
    world.happen(1, traces.status(0, 1, due, G04, 1), topic=Topic.STATUSES)
    world.writer().catch_up()
    world.now_ms = DEADLINE_MS + CLOCKS_MS - 1
    assert world.writer().catch_up() == 0
    world.now_ms += 1
    late = traces.status(1, 1, due, H01, 1, append_ms=DEADLINE_MS + 3)
    world.happen(1, late, topic=Topic.STATUSES)
    assert world.writer().catch_up() == 1 + 2
    assert world.writer().catch_up() == 0
    assert world.lapsed() == {("due", H01): 1, ("due", "H02"): 1}
    found = world.find(lambda finder: finder.lapses(1, DUE, "documents", 0))
    assert [one.fields["recipient"] for one in found] == [H01, "H02"]
    assert {one.fields["statuses_next"] for one in found} == {2}
    assert world.find(lambda finder: finder.lapses(1, DUE + 1, "documents", 1)) == []
    world.now_ms = deadline_of(DUE + 1) + CLOCKS_MS
    assert world.writer().catch_up() == 1
    (found_later,) = world.find(lambda finder: finder.lapses(1, DUE + 1, "documents", 1))
    assert found_later.fields["id"] == "later"
    assert world.find(lambda finder: finder.lapses(1, DUE, "documents", 0)) == found


def test_no_deadline_lapses_while_something_said_before_it_is_undecided(world: PromiseWorld) -> None:
    due = traces.accepted(0, H26, "due", [G04], summary=traces.summary(due=DUE))
    world.submitted(Topic.DOCUMENTS, 1, traces._FIRST_MS)
    world.happen(1, due)
    world.submitted(Topic.STATUSES, 1, DEADLINE_MS - 1)
    world.submitted(Topic.STATUSES, 1, DEADLINE_MS + 1)  # this one doesn't matter
    world.now_ms = DEADLINE_MS + CLOCKS_MS
    assert world.writer().catch_up() == 1
    assert world.lapsed() == {}
    world.happen(1, traces.status(0, 1, due, G04, 1, append_ms=DEADLINE_MS - 1), topic=Topic.STATUSES)
    assert world.writer().catch_up() == 1
    assert world.lapsed() == {}


def test_many_lapses_are_signed_in_portions_and_all_found(world: PromiseWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LAPSES_MAX", 7)
    recipients = [f"H{number}" for number in range(10, 30)]
    world.happen(0, traces.accepted(0, H26, "a", recipients, summary=traces.summary(due=DUE)))
    world.happen(0, traces.accepted(1, H26, "b", recipients[:3], summary=traces.summary(due=DUE)))
    world.now_ms = DEADLINE_MS + CLOCKS_MS
    assert world.writer().catch_up() == 25
    assert set(world.lapsed().values()) == {1}
    assert len(world.find(lambda finder: finder.lapses(0, DUE, "documents", 0))) == 20
    assert len(world.find(lambda finder: finder.lapses(0, DUE, "documents", 1))) == 3
