"""An agency signs for another, through the hop: accepted in that one's name, between two times, told to that one."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange import Agency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.cli.app import app
from exchange.local.founding import listed, now_ms, revocations
from exchange.local.issuing import Issued
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from exchange.sdk import Delegation, GatewayRefused, load_key
from exchange.signatures import SigningKey
from tests.support.gateways import serving
from tests.support.running import Exchange

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def sender(exchange: Exchange) -> Member:
    return exchange.member(Level.PROVINCE, 7)


@pytest.fixture(scope="module")
def holder(exchange: Exchange) -> Member:
    return exchange.member(Level.PROVINCE, 8)


def made(exchange: Exchange, sender: Member, holder: Member, hours: tuple[int, int]) -> Issued:
    """Leave for the holder to sign for the sender between two hours from now."""
    first, last = (now_ms() + hour * HOUR_MS for hour in hours)
    issued = exchange.world.authority.issue(
        sender.agency.code, sender.agency.name, not_before_ms=first, not_after_ms=last, delegate=holder.agency.code
    )
    exchange.enter(listed([issued]))
    return issued


def outcome(exchange: Exchange, sender: Member, key: SigningKey) -> tuple[str, str, list[str]]:
    to = exchange.member(Level.CENTRAL).agency.code
    fields = exchange.document(sender, [to])
    [fate] = exchange.fates([exchange.submit("document", fields, sender, keys=[key])])
    return fate.event["outcome"], fate.event["code"], fate.recipients


def test_between_its_times_and_not_beyond(exchange: Exchange, sender: Member, holder: Member) -> None:
    to = exchange.member(Level.CENTRAL).agency.code
    now, over, to_come = (made(exchange, sender, holder, hours) for hours in ((-1, 2), (-3, -1), (1, 2)))
    assert outcome(exchange, sender, now.signing_key) == ("accepted", "", [to])
    assert outcome(exchange, sender, over.signing_key) == ("rejected", "certificate.expired", [])
    assert outcome(exchange, sender, to_come.signing_key) == ("rejected", "certificate.not_yet_valid", [])
    assert outcome(exchange, sender, holder.key) == ("rejected", "signature.not_the_senders", [])


def test_taken_back(exchange: Exchange, sender: Member, holder: Member) -> None:
    leave = made(exchange, sender, holder, (-1, 2))
    assert outcome(exchange, sender, leave.signing_key)[0] == "accepted"
    exchange.world.authority.revoke(leave.certificate, now_ms(), None, "cessationOfOperation")
    exchange.enter([revocations(exchange.world.authority)])
    assert outcome(exchange, sender, leave.signing_key) == ("rejected", "certificate.revoked", [])
    assert outcome(exchange, sender, sender.key)[0] == "accepted"


def test_the_refusal_comes_to_whom_it_signed_for(exchange: Exchange, sender: Member, holder: Member) -> None:
    leave = made(exchange, sender, holder, (-1, 2))
    fields = exchange.document(sender, ["KHONG.CO"])
    [fate] = exchange.fates([exchange.submit("document", fields, sender, keys=[leave.signing_key])])
    assert fate.event["code"] == "recipient.unknown"
    [told] = fate.notices
    assert told.recipients == [sender.agency.code]


def test_its_system_sends_in_the_others_name(
    exchange: Exchange, sender: Member, holder: Member, tmp_path: Path
) -> None:
    """The command gives the key to its holder; the gateway takes from that one alone what it sealed."""
    await_members(exchange.world.admin, GROUP, 1, 120)
    code, by, home = sender.agency.code, holder.agency.code, exchange.world.home
    command = ["--home", str(home.folder), "keys", "create", code, "--delegate", by, "--until", "2099-12-31"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    log = exchange.world.directory_log
    log.catch_up()
    leave = Delegation(code, load_key(home.keys / "agencies" / by / "delegations", code))
    to = exchange.member(Level.CENTRAL).agency.code
    with serving(exchange.world) as served:
        assert wait_until(lambda: served.gateway.directory.view.offset >= log.directory.next_offset, 30)
        with Agency(by, holder.key, served.url, folder=tmp_path / "holder") as agency:
            published = agency.publish([], [to], "Thay mặt", delegation=leave)
        other = exchange.member(Level.PROVINCE, 9)
        refused = pytest.raises(GatewayRefused, match=r"sender\.not_yours")
        with Agency(other.agency.code, other.key, served.url, folder=tmp_path / "other") as agency, refused:
            agency.publish([], [to], "Thay mặt", delegation=leave)
    assert published.receipt is not None
    exchange.settle()
    fate = exchange.fate((published.receipt.topic, published.receipt.partition, published.receipt.offset))
    assert (fate.event["outcome"], fate.event["sender"], fate.recipients) == ("accepted", code, [to])
