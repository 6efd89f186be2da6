"""A client and the exchange's word: promises asked for and kept, broken ones raised, a forked ledger noticed."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exchange import Agency
from exchange.agencies import BACKBONE_CODE
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.cli.app import app
from exchange.cli.ledger import folder_of, key_of
from exchange.cli.output import VIETNAM
from exchange.cli.running import options_of
from exchange.errors import Misconfigured, Unavailable
from exchange.gateway.ledger import LiveLedger
from exchange.ledger.checkpoint import Checkpoint, open_checkpoint
from exchange.ledger.notes import NoteKey
from exchange.ledger.promises import PromiseWriter, Signing
from exchange.ledger.promises.deadlines import DAY_MS
from exchange.ledger.store import CHECKPOINT
from exchange.local.crew import Crew
from exchange.local.founding import now_ms
from exchange.local.processes import ChildProcess, stop_together
from exchange.local.simulation.cast import Member
from exchange.sdk import LedgerBroken, Published, Receipt
from exchange.signatures import open_word
from exchange.signatures.certificates import parse
from tests.support.gateways import Served, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def sender(exchange: Exchange) -> Member:
    return exchange.member(Level.PROVINCE, 8)


@pytest.fixture(scope="module")
def recipient(exchange: Exchange) -> Member:
    return exchange.member(Level.COMMUNE, 8)


@pytest.fixture
def connect(served: Served, sender: Member, tmp_path: Path) -> Iterator[Callable[..., Agency]]:
    """Connects the sender; `name`: of its folder, for the same client again."""
    opened: list[Agency] = []

    def made(name: str = "out", **more: object) -> Agency:
        for one in opened:
            one.close()
        settings = {"check_every_s": 0.0, **more}
        opened.append(Agency(sender.agency.code, sender.key, served.url, folder=tmp_path / name, **settings))  # type: ignore[arg-type]
        return opened[-1]

    yield made
    for one in opened:
        one.close()


@pytest.fixture
def live(served: Served) -> LiveLedger:
    assert served.gateway.ledger is not None
    return served.gateway.ledger


def receipt_of(published: Published) -> Receipt:
    """The broker's receipt, which is there when the gateway answers."""
    assert published.receipt is not None
    return published.receipt


def sent(agency: Agency, recipient: Member, tmp_path: Path, **more: Any) -> Receipt:  # noqa: ANN401
    """A document on its way."""
    path = tmp_path / "một tệp.txt"
    path.write_text("nội dung")
    return receipt_of(agency.publish([path], [recipient.agency.code], "Có lời hứa", **more))


def process(exchange: Exchange, name: str) -> ChildProcess:
    """One of the crew."""
    return ChildProcess(name, exchange.world.home.run, signal.SIGTERM)


def test_what_is_decided_is_promised_and_the_promise_kept(
    connect: Callable[..., Agency], served: Served, exchange: Exchange, recipient: Member, tmp_path: Path
) -> None:
    agency = connect()
    accepted = agency.confirm(sent(agency, recipient, tmp_path))
    assert (accepted.outcome, accepted.code) == ("accepted", "")
    refused = receipt_of(agency.publish([], ["000.99.99.H99"], "Không ai nhận"))
    rejected = agency.confirm(refused)
    assert (rejected.outcome, rejected.code) == ("rejected", "recipient.unknown")
    assert 0 < accepted.ledger_size <= rejected.ledger_size
    word = open_word(rejected.record, parse(exchange.world.authority.backbone.certificate), ("promise",))
    assert word.fields["included_ms"] - word.signed_ms == 60_000
    with (
        Agency(recipient.agency.code, recipient.key, served.url, folder=tmp_path / "other") as other,
        pytest.raises(Unavailable, match=r"promise\.not_given"),
    ):
        other.decided(refused, wait_s=0)
    with pytest.raises(Unavailable, match=r"promise\.not_given"):
        agency.decided(replace(refused, offset=refused.offset + 10_000), wait_s=0)


def test_a_growing_ledger_is_followed_over_restarts_of_the_client(
    connect: Callable[..., Agency], recipient: Member, exchange: Exchange, tmp_path: Path
) -> None:
    agency = connect(ledger_key=str(key_of(exchange.world).verifier))
    first = agency.confirm(sent(agency, recipient, tmp_path)).ledger_size
    again = connect()
    second = again.confirm(sent(again, recipient, tmp_path)).ledger_size
    assert first < second
    kept = (tmp_path / "out" / "ledger" / "checkpoint").read_bytes()
    assert open_checkpoint(kept, key_of(exchange.world).verifier).size >= second
    other = NoteKey.generate("exchange/other").verifier
    with pytest.raises(Misconfigured):
        connect(ledger_key=str(other)).find("ha noi")


@pytest.mark.parametrize("grown", [0, -1, 7])
def test_a_fork_shown_to_a_client_raises_and_both_sides_are_kept(
    connect: Callable[..., Agency],
    live: LiveLedger,
    exchange: Exchange,
    recipient: Member,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    grown: int,
) -> None:
    agency = connect()
    agency.confirm(sent(agency, recipient, tmp_path))
    agency.find("ha noi")
    key = key_of(exchange.world)
    kept = open_checkpoint((tmp_path / "out" / "ledger" / "checkpoint").read_bytes(), key.verifier)
    forged = Checkpoint(kept.origin, kept.size + grown, bytes(32)).sign(key).encode()
    monkeypatch.setattr(live, "_look", lambda: base64.b64encode(forged))
    monkeypatch.setattr(live, "header", base64.b64encode(forged))
    with pytest.raises(LedgerBroken) as caught:
        agency.find("ha noi")
    assert caught.value.code == "ledger.inconsistent"
    shown = json.loads(caught.value.evidence.read_text())["shown"]
    assert (open_checkpoint(shown["kept"].encode(), key.verifier), shown["shown"]) == (kept, forged.decode())
    monkeypatch.undo()
    monkeypatch.setattr(live, "header", base64.b64encode(folder_of(exchange.world).read(CHECKPOINT) or b""))
    agency.find("ha noi")


def test_a_checkpoint_of_another_key_raises(
    connect: Callable[..., Agency], live: LiveLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    agency = connect()
    agency.find("ha noi")
    forged = Checkpoint(live.key.name, 5, bytes(32)).sign(NoteKey.generate(live.key.name)).encode()
    monkeypatch.setattr(live, "_look", lambda: base64.b64encode(forged))
    monkeypatch.setattr(live, "header", base64.b64encode(forged))
    with pytest.raises(LedgerBroken) as caught:
        agency.find("ha noi")
    assert caught.value.code == "ledger.not_its_key"


def test_a_missed_inclusion_raises_once_its_time_is_over(
    connect: Callable[..., Agency], exchange: Exchange, recipient: Member, tmp_path: Path
) -> None:
    ledger = process(exchange, "ledger").process()
    assert ledger is not None
    ledger.send_signal(signal.SIGSTOP)
    try:
        agency = connect()
        receipt = sent(agency, recipient, tmp_path)
        promised = agency.decided(receipt)
        with pytest.raises(Unavailable, match=r"ledger\.behind"):
            agency.confirm(receipt, wait_s=0)
        late = connect(clock=lambda: promised.included_ms + 31_000)
        with pytest.raises(LedgerBroken) as caught:
            late.confirm(receipt)
    finally:
        ledger.send_signal(signal.SIGCONT)
    assert caught.value.code == "ledger.promise_broken"
    record = base64.b64decode(json.loads(caught.value.evidence.read_text())["shown"]["promise"])
    assert record == promised.record
    assert connect().confirm(receipt).record == promised.record


def test_a_missed_inclusion_is_noticed_without_asking(
    connect: Callable[..., Agency], exchange: Exchange, recipient: Member, tmp_path: Path
) -> None:
    ledger = process(exchange, "ledger").process()
    assert ledger is not None
    ledger.send_signal(signal.SIGSTOP)
    try:
        agency = connect("sampled")
        agency.decided(sent(agency, recipient, tmp_path))
        agency.flush()  # too early to ask
        late = connect("sampled", clock=lambda: now_ms() + 130_000)
        with pytest.raises(LedgerBroken, match="promised to be in the ledger"):
            late.flush()
    finally:
        ledger.send_signal(signal.SIGCONT)
    agency = connect("sampled")
    agency.confirm(Receipt(*json.loads((tmp_path / "sampled" / "owed.json").read_text())[0]))
    connect("sampled", clock=lambda: now_ms() + 130_000).flush()
    assert json.loads((tmp_path / "sampled" / "owed.json").read_text()) == []


def test_the_proof_of_another_event_keeps_no_promise(
    connect: Callable[..., Agency],
    live: LiveLedger,
    sender: Member,
    recipient: Member,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agency = connect()
    one, two = sent(agency, recipient, tmp_path), sent(agency, recipient, tmp_path)
    agency.confirm(one)
    agency.confirm(two)
    other = live.inclusion(sender.agency.code, one.topic, one.partition, one.offset)
    monkeypatch.setattr(live, "inclusion", lambda *_: other)
    with pytest.raises(LedgerBroken) as caught:
        agency.confirm(two)
    assert caught.value.code == "ledger.other_event"


def test_who_did_not_answer_until_a_document_was_due_is_named(
    connect: Callable[..., Agency], exchange: Exchange, recipient: Member, tmp_path: Path
) -> None:
    agency = connect()
    receipt = sent(agency, recipient, tmp_path, due=datetime.now(VIETNAM).date() + timedelta(1))
    agency.decided(receipt)
    assert agency.lapses(receipt) == {}
    stop_together([process(exchange, "promises")])
    signing = Signing(exchange.world.authority.backbone.signing_key, BACKBONE_CODE, clock=lambda: now_ms() + 3 * DAY_MS)
    try:
        PromiseWriter(exchange.world.base, signing).catch_up()
    finally:
        Crew(exchange.world.home, options_of(exchange.world), workers=1).start()
    (found,) = agency.lapses(receipt).items()
    assert found[0] == recipient.agency.code
    word = open_word(found[1], parse(exchange.world.authority.backbone.certificate), ("lapse",))
    assert word.fields["statuses_next"] >= 0
    command = ["--home", str(exchange.world.home.folder), "trace", word.fields["id"]]
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert (told["promise"]["outcome"], told["lapses"][0]["recipient"]) == ("accepted", recipient.agency.code)
    assert base64.b64decode(told["lapses"][0]["record"]) == found[1]
    drawn = " ".join(CliRunner().invoke(app, command).stdout.split())
    assert "promised by the exchange: accepted, in the ledger by" in drawn
    assert f"{recipient.agency.code} had not answered by" in drawn
