"""The object store's promises, the same for a folder and for a bucket of a server that speaks the S3 API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from itertools import repeat
from pathlib import Path

import pytest

from exchange.backbone.attachments import Attachments
from exchange.backbone.objects import Objects, open_objects
from exchange.cli.running import options_of
from exchange.cli.world import from_options
from exchange.errors import Misconfigured, Unavailable
from exchange.ledger.notes import NoteKey
from exchange.ledger.order import Order, Taken
from exchange.ledger.store import LedgerStore, signed, tile_reader
from exchange.ledger.tree import TileTree
from tests.support.buckets import certificate_of_localhost, moto, rclone

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket with conditional writes, and the environment that leads to it."""
    with moto(tmp_path_factory.mktemp("moto")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server.url


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> str:
    return str(tmp_path / "objects") if request.param == "folder" else f"{bucket}/{tmp_path.name}"


@pytest.fixture
def store(place: str) -> Objects:
    return open_objects(place)


def test_what_was_put_is_read_and_listed_until_it_is_taken_away(store: Objects) -> None:
    assert store.read("a/1") is None
    assert store.names("a") == []
    assert store.age_s("a/1") == 0
    store.write("a/1", b"one")
    store.sync()
    store.replace("a/1", b"first")
    store.replace("a/2.p/7", b"part")
    assert store.read("a/1") == b"first"
    assert store.names("a") == ["1"]
    assert list(store.walk("a")) == ["a/1", "a/2.p/7"]
    assert 0 <= store.age_s("a/1") < 60
    store.remove("a/2.p")
    store.remove("a/1")
    store.remove("a/1")
    assert list(store.walk("a")) == []


def test_a_name_is_given_once(store: Objects, place: str) -> None:
    assert store.create("one/name", b"mine")
    assert not open_objects(place).create("one/name", b"another's")
    assert store.read("one/name") == b"mine"
    store.remove("one/name")
    assert store.create("one/name", b"anew")


def test_large_objects_pass_in_chunks(store: Objects) -> None:
    store.send("large", repeat(b"x" * MIB, 20))
    chunks = store.fetch("large")
    assert chunks is not None
    digest, largest = sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        largest = max(largest, len(chunk))
    assert digest.digest() == sha256(b"x" * MIB * 20).digest()
    assert largest < 10 * MIB
    assert store.fetch("nothing") is None


@pytest.mark.parametrize("before", [1, 12])
def test_what_breaks_off_is_not_there(store: Objects, before: int) -> None:
    def chunks() -> Iterator[bytes]:
        yield from repeat(b"x" * MIB, before)
        raise ZeroDivisionError

    store.send("kept", [b"whole"])
    for name in ("broken", "kept"):
        with pytest.raises(ZeroDivisionError):
            store.send(name, chunks())
    assert store.read("broken") is None
    assert store.read("kept") == b"whole"
    assert list(store.walk("broken")) == []


def test_the_ledger_lies_in_either(store: Objects) -> None:
    key = NoteKey.generate("log.test")
    for first in (0, 300):
        ledger = LedgerStore(store, key)
        assert ledger.size == first
        entries = [sha256(f"{first}/{n}".encode()).digest() for n in range(300)]
        order = Order(first, ledger.root, bytes(16), [Taken(0, first, 300)], entries)
        ledger.keep_salts(bytes(16), bytes(range(16)) * 300)
        ledger.take(order, first + 1)
        ledger.sign()
        ledger.remember()
    checkpoint = signed(store, key.verifier)
    assert checkpoint is not None
    assert checkpoint.size == 600
    assert TileTree(600, tile_reader(store)).root() == checkpoint.root


def test_attachments_lie_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    source = tmp_path / "a.bin"
    source.write_bytes(os.urandom(9 * MIB))
    attachments = Attachments(f"{bucket}/attachments", b"k" * 32)
    stored = attachments.put(source)
    assert attachments.put(source).sha256 == stored.sha256
    assert b"".join(attachments.read(stored.sha256, stored.size)) == source.read_bytes()
    assert len(list(open_objects(f"{bucket}/attachments").walk(""))) == 1


def test_the_command_lines_world_lies_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    world = from_options(tmp_path / "home", None, None, f"{bucket}/{tmp_path.name}/")
    assert world.objects("archive").create("one", b"1")
    assert open_objects(f"{bucket}/{tmp_path.name}/archive").read("one") == b"1"
    assert options_of(world)[-2:] == ["--object-store", f"{bucket}/{tmp_path.name}/"]


def test_tls_and_signatures_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = certificate_of_localhost(tmp_path)
    with rclone(tmp_path / "rclone", tls=tls) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Unavailable):  # nobody vouches for its certificate
            open_objects(server.url).read("a")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tls[0]))
        store = open_objects(server.url)
        store.replace("a", b"one")
        assert store.read("a") == b"one"
        credentials = Path(server.environment["AWS_SHARED_CREDENTIALS_FILE"])
        credentials.write_text(credentials.read_text().replace("not-a-secret", "another"))
        with pytest.raises(Unavailable) as refused:
            open_objects(server.url).read("a")
        assert "another" not in str(refused.value)
        # It overwrites whatever it is asked to put if nothing is there: no archive may lie there.
    with rclone(tmp_path / "second") as server:
        monkeypatch.delenv("AWS_CA_BUNDLE")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Misconfigured, match="If-None-Match"):
            open_objects(server.url).create("a", b"one")
        assert open_objects(server.url).read("a") is None


def test_what_cannot_be_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(Misconfigured):
        open_objects("s3://bucket/prefix")
    with pytest.raises(Misconfigured):
        open_objects("gopher://bucket")
