"""Coverage on the real PostgreSQL: which units sent and received, who is silent and who is slow, as counted by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date

import psycopg
import pytest

from exchange.agencies import Agency, Level
from exchange.local.services import Services
from exchange.views.coverage import DAY_MS, DAYS, Coverage, read
from exchange.views.trace_store import TraceStore, TraceWriter
from tests.support import traces
from tests.support.trace_world import portion_of

pytestmark = pytest.mark.integration

NOW_MS = 1_760_000_000_000
HOUR_MS = 3_600_000
CODES = [f"H{province}.{district}" for province in range(10, 20) for district in range(4)]


def directory() -> list[Agency]:
    """A country, its provinces, their districts."""
    tops = [Agency("G00", 1, "x", Level.CENTRAL, "x", None, (), date(2020, 1, 1), None, ())]
    tops += [Agency(f"H{n}", 1, "x", Level.PROVINCE, "x", "G00", (), date(2020, 1, 1), None, ()) for n in range(10, 20)]
    below = [Agency(c, 1, "x", Level.DISTRICT, "x", c[:3], (), date(2020, 1, 1), None, ()) for c in CODES]
    return [*tops, *below]


class Happened:
    """Some hundred documents and their receipts, and what must be found of them, added up by hand."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        self.events: list[traces.Event] = []
        self.statuses: list[traces.Event] = []
        self.sent: dict[str, list[int]] = {}
        self.received: dict[str, list[int]] = {}
        self.delays: dict[str, list[int]] = {}
        self.waiting: dict[str, int] = {}
        for offset in range(300):
            sender, recipient = dice.sample(CODES[:30], 2)  # the others are silent
            age_ms = int(dice.random() ** 3 * 40 * DAY_MS)
            append_ms = NOW_MS - age_ms
            if dice.random() < 0.1:
                self.events.append(traces.event(offset, sender, f"r-{offset}", kind="document", append_ms=append_ms))
                continue
            document = traces.accepted(offset, sender, f"d-{offset}", [recipient], append_ms=append_ms)
            self.events.append(document)
            for counts, code in ((self.sent, sender), (self.received, recipient)):
                own = counts.setdefault(code, [0] * len(DAYS))
                own[:] = [count + (age_ms <= days * DAY_MS) for count, days in zip(own, DAYS, strict=True)]
            self._answer(dice, document, recipient, is_recent=age_ms <= DAYS[-1] * DAY_MS)

    def _answer(self, dice: random.Random, document: traces.Event, recipient: str, *, is_recent: bool) -> None:
        if dice.random() < 0.3:
            self.waiting[recipient] = self.waiting.get(recipient, 0) + is_recent
            return
        delay_ms = dice.randrange(1, 100) * HOUR_MS
        at = len(self.statuses)
        self.statuses.append(traces.status(at, 1, document, recipient, 1, append_ms=document["append_ms"] + delay_ms))
        if is_recent:
            self.delays.setdefault(recipient, []).append(delay_ms)


@pytest.fixture(scope="module")
def happened() -> Happened:
    return Happened(seed=27)


@pytest.fixture(scope="module")
def found(services: Services, happened: Happened) -> Iterator[Coverage]:
    store = TraceStore(services.database_url, "coverage_test")
    store.prepare()
    values = traces.records(1, happened.events) + traces.records(1, happened.statuses, "statuses")
    with store.connect() as database:
        TraceWriter(database, "trace").write(portion_of(values))
    yield read(store, directory(), NOW_MS)
    with psycopg.connect(services.database_url) as database:
        database.execute("DROP SCHEMA coverage_test CASCADE")


def test_each_unit_has_sent_and_received_what_it_did(found: Coverage, happened: Happened) -> None:
    nothing = (0,) * len(DAYS)
    for code, unit in found.units.items():
        assert unit.sent == tuple(happened.sent.get(code, nothing)), code
        assert unit.received == tuple(happened.received.get(code, nothing)), code
        assert unit.is_silent == (not happened.sent.get(code, nothing)[-1])
    assert 0 < sum(unit.sent[0] for unit in found.units.values()) < sum(unit.sent[-1] for unit in found.units.values())


def test_who_is_slow_is_who_took_long_to_sign_and_who_waits_has_not(found: Coverage, happened: Happened) -> None:
    for code, unit in found.units.items():
        delays = happened.delays.get(code)
        assert unit.delay_ms == (pytest.approx(sum(delays) / len(delays)) if delays else None)
        assert unit.waiting == happened.waiting.get(code, 0)
    assert any(unit.waiting for unit in found.units.values())


def test_what_is_active_below_a_unit_is_each_unit_once(found: Coverage) -> None:
    country = found.units["G00"]
    assert country.below == len(found.units) == 51
    for place in range(len(DAYS)):
        active = [unit for unit in found.units.values() if unit.sent[place] or unit.received[place]]
        assert country.active[place] == len(active)
        for province in found.children["G00"]:
            assert province.active[place] == len([unit for unit in active if unit.code.startswith(province.code)])
