"""A sender is suspended while it sends: hop and gateway refuse it within seconds, until it is resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from exchange.agencies import Level
from exchange.cli.app import app
from exchange.errors import Rejected
from exchange.local.simulation.cast import Member
from exchange.operating.suspending import resume, suspend
from exchange.statements import Fields
from tests.support.gateways import Served, serving
from tests.support.running import Exchange

EFFECTIVE_S = 5.0
TWO = ("key reported stolen", "Nông Thị An", "Trần Bình")

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    with serving(exchange.world) as one:
        yield one


@pytest.fixture
def member(exchange: Exchange) -> Member:
    """A unit of this test's own."""
    return exchange.newcomer()


def say(exchange: Exchange, member: Member) -> tuple[str, str]:
    """Let it send a new document straight to Kafka; what became of that."""
    return sent(exchange, member, exchange.document(member, [exchange.member(Level.DISTRICT).agency.code]))


def sent(exchange: Exchange, member: Member, fields: Fields) -> tuple[str, str]:
    [fate] = exchange.fates([exchange.submit("document", fields, member)])
    return fate.event["outcome"], fate.event["code"]


def post(served: Served, exchange: Exchange, member: Member) -> tuple[int, str]:
    """The same over the gateway."""
    fields = exchange.document(member, [exchange.member(Level.DISTRICT).agency.code])
    with served.client(member) as client:
        answer = client.post(
            "/v1/statements",
            content=exchange.prepare("document", fields, member).value,
            headers={"content-type": "application/avro"},
        )
    return answer.status_code, "" if answer.is_success else answer.json()["code"]


def test_suspended_then_resumed(exchange: Exchange, served: Served, member: Member) -> None:
    registrar, code = exchange.world.registrar, member.agency.code
    assert say(exchange, member) == ("accepted", "")
    assert post(served, exchange, member)[0] == 200

    decided, began = suspend(registrar, code, *TWO), time.monotonic()
    while say(exchange, member) == ("accepted", ""):
        assert time.monotonic() - began < EFFECTIVE_S
    while post(served, exchange, member)[0] == 200:
        assert time.monotonic() - began < EFFECTIVE_S
    assert time.monotonic() - began < EFFECTIVE_S

    fields = exchange.document(member, [exchange.member(Level.DISTRICT).agency.code])
    record = exchange.prepare("document", fields, member)
    [fate] = exchange.fates(exchange.submit_all([record]))
    assert (fate.event["outcome"], fate.event["code"]) == ("rejected", "sender.suspended")
    assert fate.deliveries == []
    [letter], [notice] = fate.dead_letters, fate.notices
    assert (letter["sender"], letter["value"]) == (code, record.value)
    assert (notice.recipients, notice.fields["code"]) == ([code], "sender.suspended")
    assert letter["directory_offset"] >= decided.directory_offset
    assert post(served, exchange, member) == (403, "sender.suspended")
    with served.client(member) as client:
        assert client.get("/v1/inbox").is_success
        assert client.put(f"/v1/attachments/{bytes(32).hex()}", content=b"x").json()["code"] == "sender.suspended"

    resume(registrar, code, *TWO)
    began = time.monotonic()
    while post(served, exchange, member)[0] != 200:
        assert time.monotonic() - began < EFFECTIVE_S
    while sent(exchange, member, fields) == ("rejected", "sender.suspended"):  # the very bytes refused before
        assert time.monotonic() - began < EFFECTIVE_S
    [fate] = exchange.fates([exchange.submit("document", fields, member)])
    assert fate.event["outcome"] == "duplicate"


def test_what_may_not_be_decided(exchange: Exchange, member: Member) -> None:
    registrar, code = exchange.world.registrar, member.agency.code
    for decide, about, two, refusal in (
        (suspend, "H26.NOBODY", TWO, "agency.unknown"),
        (suspend, "G00.AXIS", TWO, "sender.own_voice"),
        (suspend, code, ("why", "An", "an"), "decision.same_person"),
        (suspend, code, ("", "An", "Bình"), "decision.text"),
        (resume, code, TWO, "sender.not_suspended"),
    ):
        with pytest.raises(Rejected) as refused:
            decide(registrar, about, *two)
        assert refused.value.code == refusal
    assert say(exchange, member) == ("accepted", "")


def test_by_command(exchange: Exchange, member: Member) -> None:
    code, texts = member.agency.code, ["--by", "An", "--seconded-by", "Bình", "--reason", "khóa bị mất"]

    def run(*command: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["--home", str(exchange.world.home.folder), "agency", *command])
        return done.exit_code, done.output

    status, shown = run("suspend", code, *texts, "--yes", "--json")
    decided = json.loads(shown)
    assert (status, decided["code"], decided["is_suspended"]) == (0, code, True)
    assert "An and Bình: khóa bị mất" in run("show", code)[1]
    assert [one["code"] for one in json.loads(run("list", "--suspended", "--json")[1]) if one["code"] == code] == [code]
    assert run("resume", code, *texts, "--yes")[0] == 0
    assert json.loads(run("show", code, "--json")[1])["suspended"] is None
