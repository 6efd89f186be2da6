"""The archive's parts without any service: what is sealed opens as it was, what is destroyed doesn't, and nothing else
changes by it."""

from __future__ import annotations

import os
from hashlib import sha256
from itertools import chain
from pathlib import Path

import pytest

from exchange.archive.attachments import VOUCHED_MS_MAX, SealedAttachments
from exchange.archive.keys import KeyStore, ensure_wrapping_key
from exchange.archive.parts import put_together, statement_of, take_apart
from exchange.archive.sealing import CHUNK_BYTES, open_sealed, open_stream, place, seal, seal_stream
from exchange.archive.volumes import Volumes
from exchange.backbone.attachments import Attachments, object_name
from exchange.backbone.folder import Folder
from exchange.backbone.reading import Read
from exchange.errors import InvariantBroken, Misconfigured, Rejected
from exchange.statements import schema
from tests.support import traces

A, B = sha256(b"a").digest(), sha256(b"b").digest()
KEY = bytes(range(32))
WRAPPING = bytes(32)
DAY_MS = 86_400_000


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys", WRAPPING)


class TestKeys:
    def test_are_made_once_and_destroyed_for_good(self, keys: KeyStore, tmp_path: Path) -> None:
        made = keys.ensure([A, B])
        assert keys.ensure([A, B]) == made == keys.find([A, B])
        assert len(set(made.values())) == 2
        keys.destroy([A, sha256(b"never seen").digest()], 7)
        again = KeyStore(tmp_path / "keys", WRAPPING)
        assert again.ensure([A, B]) == {A: None, B: made[B]}
        assert again.ensure([sha256(b"never seen").digest()]) == {sha256(b"never seen").digest(): None}
        assert keys.find([sha256(b"unknown").digest()]) == {}
        assert keys.count() == (1, 2)

    def test_destroyed_keys_are_overwritten_in_the_file(self, keys: KeyStore, tmp_path: Path) -> None:
        statements = [sha256(bytes([n])).digest() for n in range(200)]
        keys.ensure(statements)
        file = tmp_path / "keys" / "keys.sqlite"
        wrapped = [row[0] for row in keys._connection.execute("SELECT wrapped FROM keys")]
        assert all(one in file.read_bytes() for one in wrapped)
        keys.destroy(statements[::2], 7)
        everything = b"".join(path.read_bytes() for path in file.parent.iterdir())
        assert sum(one in everything for one in wrapped) == 100

    def test_need_the_key_that_wrapped_them(self, keys: KeyStore, tmp_path: Path) -> None:
        keys.ensure([A])
        with pytest.raises(Misconfigured):
            KeyStore(tmp_path / "keys", KEY).find([A])

    def test_the_wrapping_key_is_made_once(self, tmp_path: Path) -> None:
        made = ensure_wrapping_key(tmp_path / "archive.key")
        assert ensure_wrapping_key(tmp_path / "archive.key") == made
        assert (tmp_path / "archive.key").stat().st_mode & 0o777 == 0o600
        (tmp_path / "archive.key").write_text("abcd")
        with pytest.raises(Misconfigured):
            ensure_wrapping_key(tmp_path / "archive.key")


class TestSealing:
    def test_opens_at_its_place_only(self) -> None:
        sealed = seal(KEY, b"said", place("documents", 1, 2, 0))
        assert open_sealed(KEY, sealed, place("documents", 1, 2, 0)) == b"said"
        flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
        for key, data, where in (
            (WRAPPING, sealed, place("documents", 1, 2, 0)),
            (KEY, flipped, place("documents", 1, 2, 0)),
            (KEY, sealed[:5], place("documents", 1, 2, 0)),
            *((KEY, sealed, other) for other in (place("statuses", 1, 2, 0), place("documents", 1, 3, 0))),
        ):
            with pytest.raises(Rejected, match=r"archive\.damaged"):
                open_sealed(key, data, where)

    @pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
    def test_streams_open_however_they_are_cut(self, size: int) -> None:
        data = os.urandom(size)
        sealed = b"".join(seal_stream(KEY, [data[:7], data[7:]], b"where"))
        for step in (len(sealed), 1_000_003):
            pieces = [sealed[at : at + step] for at in range(0, len(sealed), step)]
            assert b"".join(open_stream(KEY, pieces, b"where")) == data

    def test_a_stream_that_was_tampered_with_does_not_open_to_its_end(self) -> None:
        data = os.urandom(3 * CHUNK_BYTES - 5)
        chunks = list(seal_stream(KEY, [data], b"where"))
        prefix, one, two, three = chunks
        for bad in (
            [prefix, one, two],
            [prefix, two, one, three],
            [prefix, one, three],
            [*chunks, three],
            [prefix],
            [],
        ):
            with pytest.raises(Rejected, match=r"archive\.damaged"):
                list(open_stream(KEY, bad, b"where"))


def trace_value() -> bytes:
    """Three events: a document, a status with a reason, a rejection without texts."""
    document = traces.accepted(0, "H26", "d", ["G04"], sha256=A)
    status = traces.status(1, 2, document, "G04", 2) | {"sha256": B}
    status["status"] |= {"reason": "vì sao"}
    events = [document, status, traces.event(2, "H26", "r")]
    [value] = traces.records(0, events)
    return value


class TestParts:
    def test_a_trace_record_without_its_texts_is_still_one(self) -> None:
        value = trace_value()
        parts = take_apart("trace", value)
        assert [(part.at, part.statement) for part in parts.sealed] == [(0, A), (1, B)]
        whole = {part.at: part.data for part in parts.sealed}
        assert put_together("trace", parts.clear, whole) == value
        blank = schema("trace").decode(parts.clear)["events"]
        told = schema("trace").decode(value)["events"]
        assert told[0]["summary"]["subject"].encode() in value
        assert [blank[0]["summary"][name] for name in ("code", "type", "subject")] == ["", "", ""]
        assert blank[1]["status"]["reason"] == ""
        assert [event["deliveries"] for event in blank] == [event["deliveries"] for event in told]
        left = put_together("trace", parts.clear, {1: whole[1]})
        assert left is not None
        assert schema("trace").decode(left)["events"] == [blank[0], told[1], told[2]]

    def test_the_same_statement_is_one_wherever_it_comes_by(self) -> None:
        statement = b"what was signed"
        record = schema("record").encode({"statement": statement, "signatures": [], "storage": []})
        place_ = {"topic": "documents", "partition": 0, "offset": 1, "append_ms": 2, "directory_offset": 3}
        letter = {**place_, "code": "c", "detail": "d", "sender": None, "key": b"k", "value": record}
        delivery = {**place_, "recipients": ["G04"], "sha256": sha256(statement).digest(), "record": record}
        digest = sha256(statement).digest()
        assert statement_of("documents", record) == digest
        assert statement_of("dead-letters", schema("dead_letter").encode(letter)) == digest
        assert statement_of("inbox.commune", schema("delivery").encode(delivery)) == digest
        assert statement_of("documents", b"garbage") == sha256(b"garbage").digest()
        assert take_apart("documents", b"garbage").clear == b""
        with pytest.raises(InvariantBroken):
            statement_of("dead-letters", record)
        with pytest.raises(InvariantBroken):
            take_apart("trace", record)


def reads(topic: str, first: int, *values: bytes) -> list[Read]:
    return [Read(topic, 0, first + 2 * n, 1000 + n, b"key", value) for n, value in enumerate(values)]


class TestVolumes:
    def test_what_was_kept_is_read_from_anywhere(self, keys: KeyStore, tmp_path: Path) -> None:
        volumes = Volumes(Folder(tmp_path / "archive"), keys)
        first, second = reads("documents", 0, b"in the clear", b"b"), reads("documents", 10, b"c", b"d")
        assert volumes.next_offset("documents", 0) is None
        assert volumes.append("documents", 0, 0, first)
        assert volumes.append("documents", 0, 3, second)
        for one in (volumes, Volumes(Folder(tmp_path / "archive"), keys)):
            assert one.next_offset("documents", 0) == 13
            assert one.first_offset("documents", 0) == 0
            assert list(one.read("documents", 0)) == first + second
            assert list(one.read("documents", 0, 2, 12)) == [first[1], second[0]]
            assert one.one("documents", 0, 12) == second[1]
            assert one.one("documents", 0, 11) is None
            assert list(one.read("documents", 1)) == []
        stored = b"".join(path.read_bytes() for path in (tmp_path / "archive").rglob("*") if path.is_file())
        assert b"in the clear" not in stored

    def test_of_two_archivers_one_is_first(self, keys: KeyStore, tmp_path: Path) -> None:
        one, other = (Volumes(Folder(tmp_path / "archive"), keys) for _ in range(2))
        assert other.next_offset("documents", 0) is None
        assert one.append("documents", 0, 0, reads("documents", 0, b"a", b"b"))
        assert not other.append("documents", 0, 0, reads("documents", 0, b"a"))
        assert other.next_offset("documents", 0) == 3
        assert other.append("documents", 0, 3, reads("documents", 4, b"c"))
        assert [read.value for read in one.read("documents", 0)] == [b"a", b"b"], "as it knew it"
        assert not one.append("documents", 0, 3, reads("documents", 4, b"c"))
        assert [read.value for read in one.read("documents", 0)] == [b"a", b"b", b"c"]

    def test_what_is_erased_is_gone_and_nothing_else(self, keys: KeyStore, tmp_path: Path) -> None:
        volumes = Volumes(Folder(tmp_path / "archive"), keys)
        volumes.append("documents", 0, 0, reads("documents", 0, b"erased", b"kept"))
        volumes.append("trace", 0, 0, reads("trace", 0, trace_value()))
        keys.destroy([sha256(b"erased").digest(), A], 7)
        assert [read.value for read in volumes.read("documents", 0)] == [b"kept"]
        [read] = volumes.read("trace", 0)
        events = schema("trace").decode(read.value)["events"]
        assert events[0]["summary"]["subject"] == ""
        assert events[1]["status"]["reason"] == "vì sao"
        # The same bytes again, after they were erased, are never sealed.
        volumes.append("documents", 0, 3, reads("documents", 4, b"erased"))
        assert volumes.one("documents", 0, 4) is None

    def test_lost_keys_and_damaged_volumes_are_said(self, keys: KeyStore, tmp_path: Path) -> None:
        folder = Folder(tmp_path / "archive")
        Volumes(folder, keys).append("documents", 0, 0, reads("documents", 0, b"a"))
        with pytest.raises(InvariantBroken, match="incomplete"):
            list(Volumes(folder, KeyStore(tmp_path / "others", WRAPPING)).read("documents", 0))
        [path] = folder.walk("records")
        data = folder.read(path) or b""
        folder.replace(path, data[:-20] + bytes(20))
        with pytest.raises((Rejected, InvariantBroken)):
            list(Volumes(folder, keys).read("documents", 0))
        folder.replace("records/documents/1/00000000000000000000", data)
        with pytest.raises(InvariantBroken, match="another volume"):
            list(Volumes(folder, keys).read("documents", 1))


class TestAttachments:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Attachments:
        return Attachments(tmp_path / "store", b"k" * 32)

    @pytest.fixture
    def sealed(self, keys: KeyStore, store: Attachments, tmp_path: Path) -> SealedAttachments:
        return SealedAttachments(Folder(tmp_path / "archive"), keys, store)

    def put(self, store: Attachments, tmp_path: Path) -> tuple[bytes, bytes]:
        data = os.urandom(CHUNK_BYTES + 5)
        (tmp_path / "file").write_bytes(data)
        return data, store.put(tmp_path / "file").sha256

    def test_each_statement_has_its_own(self, sealed: SealedAttachments, store: Attachments, tmp_path: Path) -> None:
        data, digest = self.put(store, tmp_path)
        assert all(sealed.keep(statement, digest, len(data)) for statement in (A, B, A))
        assert sealed.references(digest) == (2, 0)
        sealed.erase(A)
        assert sealed.references(digest) == (1, 1)
        assert (sealed.of(A), sealed.of(B)) == ([], [digest])
        with pytest.raises(Rejected, match=r"archive\.erased"):
            list(sealed.read(A, digest))
        assert b"".join(sealed.read(B, digest)) == data
        assert sealed.keep(A, digest, len(data))
        assert sealed.of(A) == [], "erased stays erased"

    def test_what_is_missing_or_differs_is_not_kept(
        self, sealed: SealedAttachments, store: Attachments, tmp_path: Path
    ) -> None:
        data, digest = self.put(store, tmp_path)
        assert not sealed.keep(A, bytes(32), 5)
        (tmp_path / "store" / object_name(digest)).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert not sealed.keep(A, digest, len(data))
        assert sealed.of(A) == []

    def test_the_stores_own_bytes_go_when_nothing_can_refer_to_them_any_more(
        self, sealed: SealedAttachments, store: Attachments, tmp_path: Path
    ) -> None:
        data, digest = self.put(store, tmp_path)
        [(_, stored_ms)] = store.stored()
        assert sealed.sweep(stored_ms + 10**6 * DAY_MS, 180 * DAY_MS) == 0, "nobody archived refers to it"
        for statement in (A, B):
            sealed.keep(statement, digest, len(data))
        sealed.erase(A)
        assert sealed.sweep(stored_ms + 180 * DAY_MS, 180 * DAY_MS) == 0, "another one refers to it"
        sealed.erase(B)
        assert sealed.sweep(stored_ms + VOUCHED_MS_MAX, 180 * DAY_MS) == 0, "a receipt may vouch for it"
        assert sealed.sweep(stored_ms + VOUCHED_MS_MAX + 1, 180 * DAY_MS) == 1
        with pytest.raises(Rejected, match=r"attachment\.missing"):
            list(store.read(digest, len(data)))

    def test_what_is_archived_leaves_the_store_by_its_time(
        self, sealed: SealedAttachments, store: Attachments, tmp_path: Path
    ) -> None:
        data, digest = self.put(store, tmp_path)
        [(_, stored_ms)] = store.stored()
        sealed.keep(A, digest, len(data))
        assert sealed.sweep(stored_ms + 180 * DAY_MS + 1, 180 * DAY_MS) == 1
        assert b"".join(sealed.read(A, digest)) == data

    def test_bytes_that_have_lain_for_a_day_are_written_anew(self, store: Attachments, tmp_path: Path) -> None:
        _, digest = self.put(store, tmp_path)
        path = tmp_path / "store" / object_name(digest)
        for age_s, is_anew in ((86_300, False), (86_500, True)):
            then = path.stat().st_mtime - age_s
            os.utime(path, (then, then))
            store.put(tmp_path / "file")
            assert (path.stat().st_mtime > then + 1) is is_anew


def test_memory_is_bounded_by_chunks() -> None:
    """64 MiB pass without ever being held."""
    chunks = (b"x" * CHUNK_BYTES for _ in range(64))
    largest = max(len(piece) for piece in seal_stream(KEY, chain(chunks), b"where"))
    assert largest <= CHUNK_BYTES + 16
