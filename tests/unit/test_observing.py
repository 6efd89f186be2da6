"""The observer's own judgement: ages of commits, looks that fail, audits kept and shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from exchange import metrics
from exchange.agencies.levels import Level
from exchange.backbone.lag import Behind, CommitAges
from exchange.cli.observing import Look, books, run, watch
from exchange.errors import InvariantBroken, Unavailable
from exchange.local.audits import keep, last
from exchange.local.home import Home
from exchange.views.silence import provinces
from tests.unit.audited_world import ISSUED, World, agency, directory

ONE, OTHER = ("documents", 0), ("documents", 1)


def value(name: str, **labels: str) -> float | None:
    samples = [one for family in metrics.OBSERVER.collect() for one in family.samples]
    return next((one.value for one in samples if one.name == name and one.labels == labels), None)


def test_provinces_are_those_that_there_are() -> None:
    known = directory()
    assert provinces(known.latest(), ISSUED) == ["H01", "H02"]
    known.apply(9, [replace(agency("H02", Level.PROVINCE, "G00"), version=2, valid_to=ISSUED)])
    assert provinces(known.latest(), ISSUED) == ["H01", "H02"]
    assert provinces(known.latest(), ISSUED + timedelta(1)) == ["H01"]


class TestCommitAges:
    def test_grow_only_where_something_waits_and_nothing_moves(self) -> None:
        ages = CommitAges()
        assert ages.look({ONE: Behind(10, 5), OTHER: Behind(7, 0)}, 100.0) == {ONE: 0, OTHER: 0}
        assert ages.look({ONE: Behind(10, 9), OTHER: Behind(7, 0)}, 130.0) == {ONE: 30, OTHER: 0}
        assert ages.look({ONE: Behind(11, 8), OTHER: Behind(7, 1)}, 140.0) == {ONE: 0, OTHER: 10}
        assert ages.look({ONE: Behind(19, 0), OTHER: Behind(7, 1)}, 150.0) == {ONE: 0, OTHER: 20}

    def test_a_silent_partition_is_never_old(self) -> None:
        ages = CommitAges()
        ages.look({ONE: Behind(10, 0)}, 0.0)
        assert ages.look({ONE: Behind(10, 0)}, 1e6) == {ONE: 0}


def test_what_cant_be_seen_is_told_by_its_last_look() -> None:
    stop = Event()
    calls: list[str] = []

    def blind() -> None:
        calls.append("blind")
        raise Unavailable("kafka.unavailable", "away")

    def fine() -> None:
        calls.append("fine")
        if calls.count("fine") == 2:
            stop.set()

    run([Look("test-blind", blind, 0.0), Look("test-fine", fine, 0.0)], stop)
    assert calls == ["blind", "fine", "blind", "fine"]
    assert value("exchange_observer_last_look_timestamp_seconds", part="test-blind") is None
    assert (value("exchange_observer_last_look_timestamp_seconds", part="test-fine") or 0) > 0


def test_a_bug_ends_it() -> None:
    def broken() -> None:
        raise InvariantBroken("test")

    with pytest.raises(InvariantBroken):
        watch([Look("test-broken", broken)], Event())


def test_it_ends_when_told_though_the_broker_never_answers() -> None:
    stop, answered = Event(), Event()

    def hanging() -> None:
        stop.set()
        assert answered.wait(60)

    watch([Look("test-hanging", hanging)], stop)
    assert not answered.is_set()
    answered.set()


def test_the_last_audit_is_kept_and_shown(tmp_path: Path) -> None:
    home, balance = Home(tmp_path / "home"), World().balance()
    books(home)  # nothing yet, nothing to show
    bad = replace(balance, finding_counts={"audit.missing_event": 2})
    keep(home, bad, 100.0, deep=True)
    books(home)
    assert value("exchange_books_hold", deep="yes") == 0
    assert value("exchange_books_audited_timestamp_seconds", deep="yes") == 100
    assert value("exchange_books_findings", deep="yes", code="audit.missing_event") == 2
    keep(home, balance, 200.0, deep=True)
    books(home)
    assert value("exchange_books_hold", deep="yes") == 1
    assert value("exchange_books_findings", deep="yes", code="audit.missing_event") == 0
    assert last(home, deep=False) is None


@pytest.mark.parametrize("text", ["", "{}", '{"began_s": 1, "holds": true, "findings": 3}'])
def test_a_damaged_result_is_a_bug_and_not_good_news(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path / "home")
    home.audits.mkdir(parents=True)
    (home.audits / "books.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvariantBroken):
        last(home, deep=False)
