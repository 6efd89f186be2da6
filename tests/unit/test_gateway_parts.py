"""The gateway's pure parts: bodies, examining, quotas, cursors, what is held in memory, what a trace shows."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.backbone.clients import connection
from exchange.errors import ExchangeError, InvariantBroken, Misconfigured, Rejected, Unavailable
from exchange.gateway import Listening, cursors, kafka
from exchange.gateway.bodies import AVRO, JSON, records_in
from exchange.gateway.deliveries import Delivery
from exchange.gateway.directory import fold
from exchange.gateway.examining import examine
from exchange.gateway.problems import Refused, status_of
from exchange.gateway.quotas import Buckets, Slots
from exchange.gateway.recent import Recent
from exchange.gateway.traces import visible
from exchange.views.trace_path import Delivery as Copy
from exchange.views.trace_path import Document, Entry, Path, Step
from tests.support.signing import OTHER, SENDER, World

PLACE = ("inbox.province", 0)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def code_of(exc: pytest.ExceptionInfo[ExchangeError]) -> str:
    return exc.value.code


class TestBodies:
    def test_one_and_many(self, world: World) -> None:
        records = [world.record(id=f"2026-{n}") for n in range(3)]
        assert records_in(records[0], AVRO, 10) == records[:1]
        assert records_in(b"".join(records), AVRO, 10) == records
        listed = json.dumps([base64.b64encode(one).decode() for one in records]).encode()
        assert records_in(listed, JSON, 10) == records

    @pytest.mark.parametrize(
        ("kind", "body", "code"),
        [
            (AVRO, b"", "request.empty"),
            (JSON, b"[]", "request.empty"),
            (AVRO, b"noise", "request.malformed"),
            (JSON, b"{}", "request.malformed"),
            (JSON, b"[1]", "request.malformed"),
            (JSON, b'["!"]', "request.malformed"),
            (JSON, b'["\xc3"]', "request.malformed"),
            (JSON, b"[" * 100_000, "request.malformed"),
            (JSON, b'["","",""]', "request.too_many_records"),
            ("text/plain", b"", "request.media_type"),
        ],
    )
    def test_bad(self, kind: str, body: bytes, code: str) -> None:
        with pytest.raises(Refused) as caught:
            records_in(body, kind, 2)
        assert code_of(caught) == code

    def test_cut_and_too_many(self, world: World) -> None:
        record = world.record()
        for end in (5, 11, len(record) // 2, len(record) - 1):
            with pytest.raises(Refused) as caught:
                records_in(record + record[:end], AVRO, 10)
            assert code_of(caught) == "request.malformed"
        with pytest.raises(Refused) as caught:
            records_in(record * 3, AVRO, 2)
        assert code_of(caught) == "request.too_many_records"

    @given(st.binary(max_size=300), st.sampled_from([AVRO, JSON]))
    def test_any_bytes(self, body: bytes, kind: str) -> None:
        try:
            assert records_in(body, kind, 3)
        except Refused as exc:
            assert exc.code.startswith("request.")  # noqa: PT017  either is right


class TestExamining:
    def test_ones_own(self, world: World) -> None:
        [outgoing] = examine([world.record()], SENDER, world.view)
        assert (outgoing.kind, outgoing.fields["sender"]) == ("document", SENDER)

    def test_anothers_and_noise_are_named_by_index(self, world: World) -> None:
        with pytest.raises(Refused) as caught:
            examine([world.record(), world.record(sender=OTHER), b"noise"], SENDER, world.view)
        assert caught.value.code == "sender.not_yours"
        assert caught.value.more["errors"] == [
            {"index": 1, "code": "sender.not_yours"},
            {"index": 2, "code": "avro.not_avro"},
        ]


class TestQuotas:
    def test_a_bucket_fills_again(self) -> None:
        now = [0.0]
        buckets = Buckets(10, 20, lambda: now[0])
        buckets.take("a", 20)
        with pytest.raises(Refused) as caught:
            buckets.take("a", 5)
        assert (caught.value.code, caught.value.retry_after_s) == ("quota.exceeded", 0.5)
        buckets.take("b", 20)
        now[0] = 0.5
        buckets.take("a", 5)

    def test_more_than_a_burst_is_owed(self) -> None:
        now = [0.0]
        buckets = Buckets(10, 20, lambda: now[0])
        buckets.take("a", 50)
        now[0] = 3.0
        with pytest.raises(Refused):
            buckets.take("a", 1)
        now[0] = 3.2
        buckets.take("a", 1)

    def test_slots(self) -> None:
        slots = Slots(1)
        with slots.one("a"), slots.one("b"), pytest.raises(Refused), slots.one("a"):
            pass
        with slots.one("a"):
            pass


class TestCursors:
    @given(st.integers(1, 4), st.integers(0, 47), st.integers(0, 1 << 62))
    def test_round_trip(self, level: int, partition: int, offset: int) -> None:
        assert cursors.decode(cursors.encode(level, partition, offset), level, partition) == offset

    @pytest.mark.parametrize("cursor", ["", "x", "é", "AAAA", cursors.encode(2, 1, 5), cursors.encode(1, 1, -1)])
    def test_others(self, cursor: str) -> None:
        with pytest.raises(Refused) as caught:
            cursors.decode(cursor, 1, 1)
        assert code_of(caught) == "cursor.invalid"


def delivery(offset: int, *recipients: str, size: int = 100) -> Delivery:
    return Delivery(offset, 0, frozenset(recipients), "documents", 0, offset, 0, 0, b"x" * size)


class TestRecent:
    def test_holds_without_a_gap_and_within_its_bound(self) -> None:
        recent = Recent(3_000)
        recent.begin(PLACE, 10)
        for offset in range(10, 20):
            recent.add(PLACE, delivery(offset, "H26", size=500))
        first = recent.first(PLACE)
        assert 10 < first < 20
        assert [one.offset for one in recent.since(PLACE, 0)] == list(range(first, 20))
        assert [one.offset for one in recent.since(PLACE, 18)] == [18, 19]
        assert list(recent.since(PLACE, 20)) == []
        recent.pass_to(PLACE, 25)
        assert recent.next(PLACE) == 25

    async def test_wakes_whom_a_delivery_names(self) -> None:
        recent = Recent(3_000)
        recent.begin(PLACE, 0)
        with recent.waiting("H26") as mine, recent.waiting("H29") as others:
            recent.add(PLACE, delivery(0, "H26"))
            await asyncio.wait_for(mine.wait(), 1)
            assert not others.is_set()
            recent.close()
            assert others.is_set()


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (Rejected("record.too_large"), 413),
            (Rejected("avro.not_avro"), 422),
            (Refused("avro.not_avro"), 422),
            (Rejected("certificate.revoked"), 401),
            (Refused("certificate.not_listed"), 404),
            (Unavailable("kafka.unavailable"), 503),
            (InvariantBroken("x"), 500),
        ],
    )
    def test_status(self, error: ExchangeError, status: int) -> None:
        assert status_of(error) == status


class TestSettings:
    def test_kafka_words(self) -> None:
        settings = kafka.connection(connection("k:1", {"sasl.mechanism": "PLAIN", "sasl.username": "u"}))
        assert settings["bootstrap_servers"] == "k:1"
        assert (settings["sasl_mechanism"], settings["sasl_plain_username"]) == ("PLAIN", "u")
        with pytest.raises(Misconfigured, match=r"sasl\.oauthbearer\.config"):
            kafka.connection(connection("k:1", {"sasl.oauthbearer.config": "x"}))

    def test_without_tls_on_this_machine_only(self) -> None:
        assert Listening(1).scheme == "http"
        with pytest.raises(Misconfigured, match="without TLS"):
            Listening(1, "0.0.0.0")  # noqa: S104

    def test_fold(self) -> None:
        assert fold("Đặng Thị Ước") == "dang thi uoc"


ENTRY = Entry(
    "documents", 0, 1, 0, "accepted", "", "document", SENDER, True, "d1", f"{SENDER}/d1", None, -1, 0, 0, 0, 0, "hop-1"
)
STATUS = replace(ENTRY, kind="status", sender="H1", id="s1")


class TestTraces:
    path = Path(
        "d1", SENDER, f"{SENDER}/d1",
        Document(ENTRY, None, tuple(Copy(code, 2, 0, None, 1, None, None, None) for code in ("H1", "H2"))),
        (ENTRY,), (replace(ENTRY, outcome="rejected"),),
        (Step(STATUS, SENDER, "d1", "H1", 1, True, 1, ""), Step(STATUS, SENDER, "d1", "H2", 1, True, 1, "")),
        (), (), True,
    )  # fmt: skip

    def test_the_sender_sees_all(self) -> None:
        assert visible(self.path, SENDER) == self.path

    def test_a_recipient_sees_its_own(self) -> None:
        seen = visible(self.path, "H1")
        assert seen is not None
        assert seen.document is not None
        assert [copy.recipient for copy in seen.document.deliveries] == ["H1"]
        assert [step.recipient for step in seen.steps] == ["H1"]
        assert seen.rejections == seen.duplicates == ()

    def test_others_see_nothing(self) -> None:
        assert visible(self.path, "H3") is None

    def test_a_forgery_is_nobodys(self) -> None:
        forged = replace(ENTRY, outcome="rejected", verified=False)
        never = replace(self.path, document=None, rejections=(forged,), steps=())
        assert visible(never, SENDER) is None
        own = replace(never, rejections=(replace(forged, verified=True),))
        assert visible(own, SENDER) == own
        assert visible(own, "H1") is None
