"""A document encrypted to its recipients, through the real exchange: they read it, and nothing in between does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange import Agency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.backbone.reading import read_to_end
from exchange.cli.app import app
from exchange.errors import Rejected
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from exchange.sdk import GatewayRefused, Received
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
    return exchange.member(Level.PROVINCE, 6)


@pytest.fixture(scope="module")
def readers(exchange: Exchange, served: Served) -> list[Member]:
    """One with a key on P-256, one with RSA."""
    found = [exchange.member(Level.COMMUNE, 6), exchange.member(Level.COMMUNE, 7)]
    for member, kind in zip(found, ("p256", "rsa2048"), strict=True):
        keys(exchange, served, "create", member.agency.code, "--encryption", "--key", kind)
    return found


def keys(exchange: Exchange, served: Served, *words: str) -> None:
    """`exchange keys …` on this world; the gateway knows of it when this returns."""
    done = CliRunner().invoke(app, ["--home", str(exchange.world.home.folder), "keys", *words])
    assert done.exit_code == 0, done.output
    log = exchange.world.directory_log
    log.catch_up()
    assert wait_until(lambda: served.gateway.directory.view.offset >= log.directory.next_offset, 30)


def agency(served: Served, exchange: Exchange, member: Member, folder: Path) -> Agency:
    """Its document system, with what lies in its key folder, and roots of its own."""
    key_folder = exchange.world.home.keys / "agencies" / member.agency.code
    roots = [exchange.world.authority.root_certificate]
    return Agency(member.agency.code, key_folder, served.url, folder=folder, roots=roots)


def next_of(one: Agency, statement_id: str) -> Received:
    for received in one.inbox(follow=True, kinds=["document"]):
        if received.fields["id"] == statement_id:
            one.dealt_with(received)
            return received
    raise AssertionError(statement_id)


def found_in(folder: Path, needle: bytes) -> list[str]:
    """Every file below that holds these bytes."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


def test_the_recipients_read_it_and_nothing_in_between_does(
    served: Served, exchange: Exchange, sender: Member, readers: list[Member], tmp_path: Path
) -> None:
    secret, shown = secrets.token_hex(20), secrets.token_hex(20)
    file = tmp_path / f"tên {secret}.docx"
    file.write_bytes(f"nội dung {secret}\n".encode() * 1000)
    to = [reader.agency.code for reader in readers]
    with agency(served, exchange, sender, tmp_path / "out") as out:
        published = out.publish([file], to, f"Trích yếu {shown}", content=f"Kính gửi {secret}", encrypt=True)
        assert published.is_sent
    for number, reader in enumerate(readers):
        with agency(served, exchange, reader, tmp_path / f"in{number}") as into:
            received = next_of(into, published.id)
            assert into.content(received).text == f"Kính gửi {secret}"
            [saved] = into.save(received, tmp_path / f"saved{number}")
            assert (saved.name, saved.read_bytes()) == (file.name, file.read_bytes())
            assert [path.name for path in (tmp_path / f"saved{number}").iterdir()] == [file.name]
    # What the exchange holds: every file of Kafka, PostgreSQL and the object store, and every record as it is read.
    home = exchange.world.home.folder
    assert found_in(home, shown.encode()), "the positive control: what routes it is there"
    assert found_in(home, secret.encode()) == []
    parts = {(one.name, number): None for one in exchange.world.layout.topics for number in range(one.partitions)}
    values = [read.value for portion in read_to_end(exchange.world.base, parts) for read in portion]
    assert any(shown.encode() in value for value in values)
    assert not any(secret.encode() in value for value in values)
    assert found_in(tmp_path / "out", secret.encode()) == [], "nor does it lie in the sender's outbox"


def test_who_has_no_key_for_it_gets_the_document_and_no_content(
    served: Served, exchange: Exchange, sender: Member, readers: list[Member], tmp_path: Path
) -> None:
    with agency(served, exchange, sender, tmp_path / "out") as out:
        published = out.publish([], [readers[0].agency.code], "Mật", content="x", encrypt=True)
    bare = Agency(readers[0].agency.code, readers[0].key, served.url, folder=tmp_path / "in")
    with bare as into, pytest.raises(Rejected, match=r"encryption\.not_for_us"):
        into.content(next_of(into, published.id))


def test_a_recipient_that_cant_be_encrypted_to_stops_all_of_it(
    served: Served, exchange: Exchange, sender: Member, readers: list[Member], tmp_path: Path
) -> None:
    without = exchange.member(Level.COMMUNE, 8).agency.code
    with agency(served, exchange, sender, tmp_path / "out") as out:
        for to, code in (
            ([readers[0].agency.code, without], "encryption.no_reader"),
            (["@provinces"], "encryption.group"),
            (["NOBODY"], "agency.unknown"),
        ):
            with pytest.raises((Rejected, GatewayRefused)) as refused:
                out.publish([], to, "Mật", content="x", encrypt=True)
            assert refused.value.code == code
        assert out.waiting == 0


def test_keys_change_and_old_documents_stay_readable(
    served: Served, exchange: Exchange, sender: Member, tmp_path: Path
) -> None:
    reader = exchange.member(Level.COMMUNE, 9)
    code = reader.agency.code
    keys(exchange, served, "create", code, "--encryption")
    with agency(served, exchange, sender, tmp_path / "out") as out:
        first = out.publish([], [code], "Một", content="một", encrypt=True)
    keys(exchange, served, "revoke", code, "--encryption", "--reason", "superseded")
    refused = pytest.raises(Rejected, match=r"encryption\.no_reader")
    with agency(served, exchange, sender, tmp_path / "out") as out, refused:
        out.publish([], [code], "Không ai", content="x", encrypt=True)
    keys(exchange, served, "create", code, "--encryption", "--renew")
    with agency(served, exchange, sender, tmp_path / "out") as out:
        second = out.publish([], [code], "Hai", content="hai", encrypt=True)
    with agency(served, exchange, reader, tmp_path / "in") as into:
        assert [into.content(next_of(into, one.id)).text for one in (first, second)] == ["một", "hai"]
    newest = exchange.world.authority.encryption(code)[-1]
    old_only = exchange.world.authority.encryption(code)[:-1]
    assert len(old_only) == 1
    assert newest.fingerprint != old_only[0].fingerprint
