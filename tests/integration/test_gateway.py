"""The gateway on the real Kafka: in by HTTP, through the hop, out by long poll; and who isn't let in."""

from __future__ import annotations

import base64
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import httpx
import pytest

from exchange.agencies.levels import Level
from exchange.backbone.attachments import Stored
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.gateway import Limits
from exchange.local.authority import DAY_MS
from exchange.local.founding import listed, now_ms, revocations
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from exchange.signatures import decode_record, sign_record, storage
from exchange.statements import Fields, schema
from exchange.statements.compose import attachment, encode
from tests.support.gateways import OPEN_LIMITS, Served, assertion, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

AVRO = {"content-type": "application/avro"}
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def sender(exchange: Exchange) -> Member:
    return exchange.member(Level.PROVINCE, 3)


@pytest.fixture(scope="module")
def recipient(exchange: Exchange) -> Member:
    return exchange.member(Level.DISTRICT, 3)


@pytest.fixture(scope="module")
def out(served: Served, sender: Member) -> Iterator[httpx.Client]:
    with served.client(sender) as client:
        yield client


@pytest.fixture(scope="module")
def into(served: Served, recipient: Member) -> Iterator[httpx.Client]:
    with served.client(recipient) as client:
        yield client


def record(member: Member, fields: Fields, receipts: list[Stored] | None = None, kind: str = "document") -> bytes:
    return sign_record(encode(kind, fields), [member.key], [one._asdict() for one in receipts or []])


def code_of(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body = answer.json()
    assert body["status"] == status
    return str(body["code"])


def end_of(client: httpx.Client) -> str:
    """The cursor after everything that is in the inbox now."""
    query: dict[str, Any] = {"limit": 500}
    while True:
        page = client.get("/v1/inbox", params=query).json()
        query["cursor"] = page["cursor"]
        if not page["more"]:
            return str(page["cursor"])


class TestTheWay:
    def test_in_and_out_the_same_bytes(
        self, exchange: Exchange, out: httpx.Client, into: httpx.Client, sender: Member, recipient: Member
    ) -> None:
        cursor = end_of(into)
        fields = exchange.document(sender, [recipient.agency.code])
        sent = record(sender, fields)
        answers: list[httpx.Response] = []
        poll = threading.Thread(
            target=lambda: answers.append(into.get("/v1/inbox", params={"cursor": cursor, "wait": 30}))
        )
        poll.start()
        answer = out.post("/v1/statements", content=sent, headers=AVRO)
        assert answer.status_code == 200, answer.text
        [receipt] = answer.json()["receipts"]
        assert receipt["id"] == fields["id"]
        assert receipt["topic"] == "documents"
        assert abs(receipt["append_ms"] - now_ms()) < 60_000
        poll.join(40)
        page = answers[0].json()
        [found] = page["deliveries"]
        assert base64.b64decode(found["record"]) == sent
        assert (found["kind"], found["topic"], found["partition"], found["offset"], found["append_ms"]) == (
            "document", receipt["topic"], receipt["partition"], receipt["offset"], receipt["append_ms"],
        )  # fmt: skip
        assert found["inbox_ms"] >= found["append_ms"]
        again = into.get("/v1/inbox", params={"cursor": cursor}).json()
        assert again["deliveries"] == page["deliveries"]
        assert into.get("/v1/inbox", params={"cursor": found["cursor"]}).json()["deliveries"] == []
        [fate] = exchange.fates([(receipt["topic"], receipt["partition"], receipt["offset"])])
        assert fate.event["outcome"] == "accepted"

    def test_many_at_once_keep_their_order_and_old_inboxes_are_read_from_the_log(
        self, exchange: Exchange, out: httpx.Client, into: httpx.Client, sender: Member, recipient: Member
    ) -> None:
        cursor = end_of(into)
        listed_ = [exchange.document(sender, [recipient.agency.code]) for _ in range(30)]
        body = [base64.b64encode(record(sender, fields)).decode() for fields in listed_]
        receipts = out.post("/v1/statements", json=body).json()["receipts"]
        assert [one["id"] for one in receipts] == [fields["id"] for fields in listed_]
        exchange.settle()
        found = self._all(into, cursor, limit=7)
        assert sorted(found) == sorted(one["id"] for one in receipts)
        with serving(exchange.world) as other, other.client(recipient) as client:
            assert self._all(client, cursor, limit=500) == found
            assert self._all(client, None, limit=500)[-30:] == found

    @staticmethod
    def _all(client: httpx.Client, cursor: str | None, limit: int) -> list[str]:
        ids, more = list[str](), True
        while more:
            query: dict[str, Any] = {"limit": limit, "kind": "document"} | ({"cursor": cursor} if cursor else {})
            page = client.get("/v1/inbox", params=query).json()
            for one in page["deliveries"]:
                raw = decode_record(base64.b64decode(one["record"]))["statement"]
                ids.append(schema("document").decode(raw)["id"])
            cursor, more = page["cursor"], page["more"]
        return ids

    def test_the_same_again_is_delivered_once(
        self, exchange: Exchange, out: httpx.Client, into: httpx.Client, sender: Member, recipient: Member
    ) -> None:
        cursor = end_of(into)
        sent = record(sender, exchange.document(sender, [recipient.agency.code]))
        for _ in range(3):
            assert out.post("/v1/statements", content=sent, headers=AVRO).status_code == 200
        exchange.settle()
        assert len(self._all(into, cursor, 100)) == 1

    def test_the_verdict_comes_as_a_notice(
        self, exchange: Exchange, out: httpx.Client, sender: Member, recipient: Member
    ) -> None:
        cursor = end_of(out)
        bad = exchange.document(sender, [recipient.agency.code], type="??")
        assert out.post("/v1/statements", content=record(sender, bad), headers=AVRO).status_code == 200
        page = out.get("/v1/inbox", params={"cursor": cursor, "wait": 30, "kind": "notice"}).json()
        assert [one["kind"] for one in page["deliveries"]] == ["notice"]

    def test_events(
        self, exchange: Exchange, out: httpx.Client, into: httpx.Client, sender: Member, recipient: Member
    ) -> None:
        cursor = end_of(into)
        sent = record(sender, exchange.document(sender, [recipient.agency.code]))
        with into.stream("GET", "/v1/inbox/events", params={"cursor": cursor}) as stream:
            lines = stream.iter_lines()
            assert next(lines) == ": waiting"
            out.post("/v1/statements", content=sent, headers=AVRO).raise_for_status()
            event = [line for line in (next(lines) for _ in range(4)) if line]
        assert event[0] == "event: document"
        assert event[1].startswith("id: ")
        assert base64.b64encode(sent).decode() in event[2]

    def test_trace(
        self, served: Served, exchange: Exchange, out: httpx.Client, into: httpx.Client, sender: Member,
        recipient: Member,
    ) -> None:  # fmt: skip
        other = exchange.member(Level.DISTRICT, 4)
        fields = exchange.document(sender, [recipient.agency.code, other.agency.code])
        out.post("/v1/statements", content=record(sender, fields), headers=AVRO).raise_for_status()
        address = f"/v1/trace/{fields['id']}"
        assert wait_until(lambda: out.get(address).status_code == 200, 60)
        assert {one["recipient"] for one in out.get(address).json()["document"]["deliveries"]} == {
            recipient.agency.code, other.agency.code,
        }  # fmt: skip
        [own] = into.get(address).json()["document"]["deliveries"]
        assert own["recipient"] == recipient.agency.code
        with served.client(exchange.member(Level.DISTRICT, 5)) as stranger:
            assert code_of(stranger.get(address), 404) == "trace.not_found"

    def test_directory(self, out: httpx.Client, sender: Member) -> None:
        found = out.get("/v1/agencies", params={"find": "ha noi"}).json()["agencies"]
        assert "H26" in {one["code"] for one in found}
        one = out.get("/v1/agencies/000.00.00.H26").json()
        assert (one["code"], one["standing"]) == ("H26", "open")
        assert code_of(out.get("/v1/agencies/NOBODY"), 404) == "agency.unknown"
        certificate = out.get(f"/v1/certificates/{sender.key.certificate.hex()}").json()
        assert certificate["agency"] == sender.agency.code
        assert sha256(base64.b64decode(certificate["certificate"])).digest() == sender.key.certificate


class TestAttachments:
    def test_byte_for_byte(
        self, exchange: Exchange, out: httpx.Client, into: httpx.Client, sender: Member, recipient: Member
    ) -> None:
        content = os.urandom(9 * 1024 * 1024 + 7)
        digest = sha256(content).hexdigest()
        address = f"/v1/attachments/{digest}"
        assert code_of(out.get(address), 404) == "attachment.missing"
        first = out.put(address, content=content)
        assert first.status_code == 201, first.text
        receipt = first.json()
        stored = Stored(
            bytes.fromhex(receipt["sha256"]), receipt["size"], receipt["stored_ms"], base64.b64decode(receipt["mac"])
        )
        storage.check([exchange.world.authority.storage_key], stored._asdict())
        assert out.put(address, content=content).status_code == 200
        head = into.head(address)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(content)))
        assert into.get(address).content == content
        rest = into.get(address, headers={"range": "bytes=1000-"})
        assert (rest.status_code, rest.content == content[1000:]) == (206, True)
        fields = exchange.document(
            sender, [recipient.agency.code], attachments=[attachment("a.bin", "x/y", len(content), stored.sha256)]
        )
        answer = out.post("/v1/statements", content=record(sender, fields, [stored]), headers=AVRO).json()
        [place] = answer["receipts"]
        [fate] = exchange.fates([(place["topic"], place["partition"], place["offset"])])
        assert fate.event["outcome"] == "accepted"

    def test_empty(self, out: httpx.Client) -> None:
        address = f"/v1/attachments/{sha256(b'').hexdigest()}"
        assert out.put(address, content=b"").status_code in {200, 201}
        assert out.get(address).content == b""

    def test_other_bytes_leave_nothing(self, exchange: Exchange, out: httpx.Client) -> None:
        digest = sha256(uuid.uuid4().bytes).hexdigest()
        assert code_of(out.put(f"/v1/attachments/{digest}", content=b"other"), 422) == "attachment.differs"
        assert code_of(out.get(f"/v1/attachments/{digest}"), 404) == "attachment.missing"
        drafts = exchange.world.home.attachments / "drafts"
        assert wait_until(lambda: not drafts.is_dir() or not list(drafts.iterdir()), 10)

    def test_broken_off_leaves_nothing(self, exchange: Exchange, out: httpx.Client) -> None:
        content = os.urandom(100_000)
        address = f"/v1/attachments/{sha256(content).hexdigest()}"

        def broken() -> Iterator[bytes]:
            yield content[:50_000]
            raise ConnectionAbortedError

        with pytest.raises(ConnectionAbortedError):
            out.put(address, content=broken())
        drafts = exchange.world.home.attachments / "drafts"
        assert wait_until(lambda: not drafts.is_dir() or not list(drafts.iterdir()), 10)
        assert out.put(address, content=content).status_code == 201


class TestWhoIsNotLetIn:
    def test_without_a_token(self, served: Served) -> None:
        for address in ("/v1/inbox", "/v1/trace/x", "/v1/agencies?find=x", "/v1/trust"):
            assert code_of(httpx.get(served.url + address), 401) == "token.missing"
        with httpx.Client(base_url=served.url, headers={"authorization": "Bearer AAAA"}) as client:
            assert code_of(client.get("/v1/inbox"), 401) == "token.invalid"

    def test_assertions(self, served: Served, sender: Member) -> None:
        code, key = sender.agency.code, sender.key
        good = assertion(code, key, served.url)
        assert served.ask_token(good).status_code == 200
        assert code_of(served.ask_token(good), 401) == "assertion.replayed"
        now_s = int(time.time())
        cases = {
            "assertion.audience": assertion(code, key, "https://elsewhere.example"),
            "assertion.expired": assertion(code, key, served.url, exp=now_s - 60, iat=now_s - 120),
            "assertion.too_long": assertion(code, key, served.url, exp=now_s + 3600),
            "assertion.malformed": "noise",
            "certificate.unknown": assertion(code, key, served.url, x5t=b"\0" * 32),
        }
        for expected, made in cases.items():
            assert code_of(served.ask_token(made), 401) == expected

    def test_a_certificate_revoked_in_the_session(self, served: Served, exchange: Exchange) -> None:
        agency = exchange.member(Level.COMMUNE, 7).agency
        authority = exchange.world.authority
        issued = authority.issue(agency.code, agency.name)
        exchange.enter(listed([issued]))
        member = Member(agency, issued.signing_key)
        assert wait_until(
            lambda: served.ask_token(assertion(agency.code, member.key, served.url)).status_code == 200, 10
        )
        with served.client(member) as client:
            assert client.get("/v1/inbox").status_code == 200
            authority.revoke(issued.certificate, now_ms() - 1000)
            exchange.enter([revocations(authority)])
            assert wait_until(lambda: client.get("/v1/inbox").status_code == 401, 10)
            assert code_of(client.get("/v1/inbox"), 401) == "certificate.revoked"
        answer = served.ask_token(assertion(agency.code, member.key, served.url))
        assert code_of(answer, 401) == "certificate.revoked"

    def test_an_expired_certificate(self, served: Served, exchange: Exchange) -> None:
        agency = exchange.member(Level.COMMUNE, 8).agency
        old = exchange.world.authority.issue(
            agency.code, agency.name, not_before_ms=now_ms() - 2 * DAY_MS, not_after_ms=now_ms() - DAY_MS
        )
        exchange.enter(listed([old]))

        def code() -> str:
            return code_of(served.ask_token(assertion(agency.code, old.signing_key, served.url)), 401)

        assert wait_until(lambda: code() == "certificate.expired", 10)

    def test_anothers_statements_and_inbox(
        self, exchange: Exchange, out: httpx.Client, into: httpx.Client, sender: Member, recipient: Member
    ) -> None:
        fields = exchange.document(recipient, [sender.agency.code])
        answer = out.post("/v1/statements", content=record(recipient, fields), headers=AVRO)
        assert code_of(answer, 403) == "sender.not_yours"
        assert answer.json()["errors"] == [{"index": 0, "code": "sender.not_yours"}]
        cursor = end_of(into)
        assert code_of(out.get("/v1/inbox", params={"cursor": cursor}), 400) == "cursor.invalid"
        neighbour = next(
            member
            for member in exchange.cast.by_level[Level.DISTRICT]
            if member is not recipient and _partition(exchange, member) == _partition(exchange, recipient)
        )
        own = record(sender, exchange.document(sender, [recipient.agency.code]))
        out.post("/v1/statements", content=own, headers=AVRO).raise_for_status()
        exchange.settle()
        assert into.get("/v1/inbox", params={"cursor": cursor, "wait": 10}).json()["deliveries"]
        served_url = str(out.base_url)
        with Served(served_url, None).client(neighbour) as stranger:  # type: ignore[arg-type]
            assert stranger.get("/v1/inbox", params={"cursor": cursor}).json()["deliveries"] == []


def _partition(exchange: Exchange, member: Member) -> int:
    from exchange.pipeline.routing import inbox_partition

    return inbox_partition(member.agency.code, exchange.world.layout.inbox)


class TestBounds:
    def test_sizes_types_and_noise(self, exchange: Exchange, sender: Member) -> None:
        limits = replace(OPEN_LIMITS, body_bytes=100_000, attachment_bytes=1000, records=3)
        good = record(sender, exchange.document(sender, ["H26"]))
        with serving(exchange.world, limits) as served, served.client(sender) as client:

            def post(content: bytes | str | Iterator[bytes], kind: str) -> httpx.Response:
                return client.post("/v1/statements", content=content, headers={"content-type": kind})

            assert code_of(post(b"x" * 100_001, "application/avro"), 413) == "request.too_large"
            assert code_of(post(iter([b"x" * 60_000] * 2), "application/avro"), 413) == "request.too_large"
            assert code_of(post(good, "text/plain"), 415) == "request.media_type"
            assert code_of(post(good * 4, "application/avro"), 413) == "request.too_many_records"
            assert code_of(post(b"noise", "application/avro"), 400) == "request.malformed"
            assert code_of(post(b"", "application/avro"), 422) == "request.empty"
            statement = base64.b64encode(b"\xc3\x01" + b"\0" * 70_000).decode()
            assert code_of(post(f'["{statement}"]', "application/json"), 413) == "record.too_large"
            put = client.put(f"/v1/attachments/{'0' * 64}", content=b"x" * 1001)
            assert code_of(put, 413) == "request.too_large"
            assert code_of(client.get("/v1/attachments/noise"), 422) == "request.invalid"
            assert code_of(client.get("/v1/inbox", params={"wait": 61}), 422) == "request.invalid"
            assert code_of(client.get("/v1/inbox", params={"cursor": "x"}), 400) == "cursor.invalid"
            assert code_of(client.get("/nothing"), 404) == "request.not_found"
            assert code_of(client.delete("/v1/inbox"), 405) == "request.method"

    def test_quotas_and_back_pressure(self, exchange: Exchange, sender: Member) -> None:
        limits = Limits(
            statements_per_s=1, statements_burst=2, requests_per_s=1, requests_burst=3, polls=1, tokens_burst=3
        )
        records = [record(sender, exchange.document(sender, ["H26"])) for _ in range(3)]
        with serving(exchange.world, limits) as served, served.client(sender) as client:
            assert client.post("/v1/statements", content=b"".join(records[:2]), headers=AVRO).status_code == 200
            answer = client.post("/v1/statements", content=records[2], headers=AVRO)
            assert code_of(answer, 429) == "quota.exceeded"
            assert int(answer.headers["retry-after"]) >= 1
            answers = [client.get("/v1/inbox") for _ in range(6)]
            assert code_of(answers[-1], 429) == "quota.exceeded"
            served.gateway.lag = limits.lag_records + 1
            answer = client.post("/v1/statements", content=records[2], headers=AVRO)
            assert code_of(answer, 429) in {"hop.behind", "quota.exceeded"}
            tokens = [served.ask_token("noise").status_code for _ in range(6)]
            assert tokens[-1] == 429

    def test_a_stop_ends_the_polls(self, exchange: Exchange, recipient: Member) -> None:
        answers: list[httpx.Response] = []
        with serving(exchange.world) as served, served.client(recipient) as client:
            cursor = end_of(client)
            poll = threading.Thread(
                target=lambda: answers.append(client.get("/v1/inbox", params={"cursor": cursor, "wait": 60}))
            )
            poll.start()
            assert wait_until(lambda: bool(served.gateway.recent._waiting), 10)
            began = time.monotonic()
            served.gateway.recent.close()
            poll.join(10)
        assert answers[0].status_code == 200
        assert time.monotonic() - began < 30
