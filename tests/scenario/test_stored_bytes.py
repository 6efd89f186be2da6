"""Attachments: what is in the store isn't what was signed; the recipient notices and hands nothing on."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.agencies.levels import Level
from exchange.backbone.attachments import Attachments
from exchange.errors import Rejected
from exchange.statements.compose import attachment
from tests.support.running import Exchange


def test_an_attachment_travels_by_claim_check(exchange: Exchange, tmp_path: Path) -> None:
    source = tmp_path / "Kế hoạch.pdf"
    source.write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 5000)
    stored = exchange.world.attachments.put(source)
    sender = exchange.member(Level.PROVINCE, 9)
    files = [attachment(source.name, "application/pdf", stored.size, stored.sha256)]
    fields = exchange.document(sender, [exchange.member(Level.DISTRICT).agency.code], attachments=files)
    [fate] = exchange.fates([exchange.submit("document", fields, sender, storage=[stored._asdict()])])
    assert fate.event["outcome"] == "accepted"
    [received] = fate.deliveries
    told = received.fields["attachments"][0]
    assert b"".join(exchange.world.attachments.read(told["sha256"], told["size"])) == source.read_bytes()


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"y" + data[1:]])
def test_stored_bytes_that_differ_are_refused(tmp_path: Path, spoil: object) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(b"0123456789" * 1000)
    store = Attachments(tmp_path / "store", b"k" * 32)
    stored = store.put(source)
    [path] = [p for p in (tmp_path / "store").rglob("*") if p.is_file()]
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(Rejected) as refused:
        list(store.read(stored.sha256, stored.size))
    assert refused.value.code == "attachment.differs"


def test_an_attachment_that_is_gone(tmp_path: Path) -> None:
    store = Attachments(tmp_path, b"k" * 32)
    with pytest.raises(Rejected) as refused:
        list(store.read(bytes(32), 10))
    assert refused.value.code == "attachment.missing"


def test_the_same_bytes_are_stored_once(tmp_path: Path) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(b"x" * 100)
    store = Attachments(tmp_path / "store", b"k" * 32)
    assert store.put(source).sha256 == store.put(source).sha256
    assert len([p for p in (tmp_path / "store").rglob("*") if p.is_file()]) == 1
