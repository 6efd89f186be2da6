"""Spans: off without a setting; on, one trace a document over processes, and the same documents in all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from exchange import spans
from exchange.errors import Misconfigured
from tests.support.collector import Collector, collecting

ONE = f"00-{'a1' * 8}{'00' * 8}-{'b2' * 8}-01"
OTHER = f"00-{'c3' * 8}{'00' * 7}01-{'d4' * 8}-01"
HIGH = f"00-{'c3' * 8}{'ff' * 8}-{'d4' * 8}-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv(spans.URL_SETTING, found.url)
        monkeypatch.setenv(spans.SHARE_SETTING, "1")
        yield found


def current() -> spans.Spans:
    makes = spans.current()
    assert makes is not None
    return makes


def test_off_there_is_nothing_and_the_callers_context_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(spans.URL_SETTING, raising=False)
    with spans.exporting("hop-1"), spans.request("gateway.submit", ONE) as outgoing:
        assert spans.current() is None
        assert outgoing == ONE
    with spans.request("gateway.submit", None) as outgoing:
        assert outgoing is None


@pytest.mark.parametrize(
    "hostile",
    [
        "", "00", "x" * 10_000, ONE.upper(), f"{ONE}\n", ONE.replace("00-", "01-", 1), ONE[:-1],
        f"00-{'0' * 32}-{'b2' * 8}-01", f"00-{'a1' * 16}-{'0' * 16}-01", ONE.replace("a1", "ạ1"), b"\xff" * 55,
    ],
)  # fmt: skip
def test_what_is_no_context_is_dropped(hostile: str | bytes) -> None:
    assert spans.valid(hostile) is None


def test_one_document_is_one_trace_over_processes(collector: Collector) -> None:
    with spans.exporting("gateway-1"), spans.request("gateway.submit", ONE) as carried:
        pass
    assert carried is not None
    now_s = time.time()
    with spans.exporting("hop-1"):
        followed = current().follows(carried.encode())
        assert followed == carried
        steps = [
            spans.Step(followed, now_s - 2, {"exchange.place": "documents/1/7", "exchange.outcome": "accepted"}),
            spans.Step(OTHER, now_s - 1, {"exchange.place": "documents/1/8", "exchange.outcome": "rejected"}),
        ]
        current().batch("hop", now_s - 0.5, now_s, steps)
    trace = collector.of(ONE.split("-")[1])
    assert set(trace) == {"gateway.submit", "hop"}
    assert (trace["gateway.submit"].process, trace["hop"].process) == ("gateway-1", "hop-1")
    assert trace["gateway.submit"].parent == ONE.split("-")[2]
    assert trace["hop"].parent == trace["gateway.submit"].span_id
    assert trace["hop"].attributes == {"exchange.place": "documents/1/7", "exchange.outcome": "accepted"}
    assert trace["hop"].seconds == pytest.approx(2, abs=0.01)
    [batch] = [one for one in collector.spans if one.name == "hop.batch"]
    assert batch.links == [ONE.split("-")[1], OTHER.split("-")[1]]
    assert trace["hop"].links == [batch.trace_id]
    assert batch.seconds == pytest.approx(0.5, abs=0.01)


def test_a_batch_is_told_of_up_to_a_bound(collector: Collector) -> None:
    steps = [spans.Step(f"00-{number + 1:032x}-{'b2' * 8}-01", 0, {}) for number in range(spans.FOLLOWED_MAX + 1)]
    with spans.exporting("hop-1"):
        current().batch("hop", 0, 1, [])
        current().batch("hop", 0, 1, steps)
    assert len(collector.spans) == spans.FOLLOWED_MAX + 1
    [batch] = [one for one in collector.spans if one.name == "hop.batch"]
    assert len(batch.links) == spans.FOLLOWED_MAX


def test_every_process_follows_the_same_share(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(spans.SHARE_SETTING, "0.5")
    with spans.exporting("gateway-1"):
        with spans.request("gateway.submit", HIGH) as carried:
            pass
        with spans.request("gateway.submit", OTHER) as other:
            pass
        assert carried is not None
        assert other is not None
        assert (carried[-2:], other[-2:]) == ("00", "01")
        assert current().follows(HIGH) is None
        assert current().follows(carried) is None
        assert current().follows(OTHER) == OTHER
        current().batch("hop", 0, 1, [spans.Step(OTHER, 0, {})])
    assert {one.name for one in collector.spans} == {"gateway.submit", "hop", "hop.batch"}
    assert collector.of(HIGH.split("-")[1]) == {}


def test_a_collector_that_is_away_costs_spans_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as gone:
        pass
    monkeypatch.setenv(spans.URL_SETTING, gone.url)
    monkeypatch.setenv(spans.SHARE_SETTING, "1")
    with spans.exporting("hop-1"):
        current().batch("hop", 0, 1, [spans.Step(ONE, 0, {})])
    assert spans.current() is None


@pytest.mark.parametrize(
    ("name", "value"), [(spans.SHARE_SETTING, "2"), (spans.SHARE_SETTING, "nan"), (spans.URL_SETTING, "collector")]
)
def test_what_cant_be_is_refused(collector: Collector, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert collector.spans == []
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured, match=name), spans.exporting("hop-1"):
        pass
