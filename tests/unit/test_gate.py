"""The gate: what it lets through, and the exact code and proven sender of everything that it doesn't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from hashlib import sha256
from typing import Any

import pytest

from exchange.agencies.entries import Entry, RevocationList
from exchange.errors import InvariantBroken, Rejected, Unavailable
from exchange.local.authority import DAY_MS
from exchange.signatures import (
    SigningKey,
    Verified,
    admit,
    encode_record,
    open_signed,
    sign_batch,
    sign_record,
    storage,
)
from exchange.signatures.batch import BATCH
from exchange.signatures.envelope import OWN_WORD
from exchange.signatures.gate import AGE_MS_MAX, FUTURE_MS_MAX
from exchange.signatures.merkle import leaf_hash, root_from_path
from exchange.signatures.storage import RECEIPT_MS_MAX
from exchange.statements import Fields, Statement, schema
from exchange.statements.compose import encode, report, status
from exchange.statements.directory import directory_statement, entries_of
from tests.support.signing import LEADER, NOW_MS, OTHER, SENDER, STORAGE_KEY, World

LED: Fields = {"signer": {"name": "Nông Thị An", "position": "Chủ tịch", "leader": LEADER}}


@pytest.fixture(scope="module")
def world() -> World:
    """Not to be changed; tests that do make their own."""
    return World()


def rejection(world: World, record: bytes, at_ms: int = NOW_MS, **options: Any) -> Rejected:  # noqa: ANN401
    with pytest.raises(Rejected) as caught:
        admit(record, at_ms, world.trust, **options)
    return caught.value


def is_unproven(rejected: Rejected, code: str) -> bool:
    """Rejected so, before any sender was proven: nobody may be told."""
    return (rejected.code, rejected.sender) == (code, None)


def is_proven(rejected: Rejected, code: str) -> bool:
    """Rejected so, with the sender proven: it is told."""
    statement = rejected.statement
    return (
        (rejected.code, rejected.sender) == (code, SENDER)
        and isinstance(statement, Statement)
        and statement.sender == SENDER
    )


def altered(record: bytes, change: Callable[[Fields], None]) -> bytes:
    """A record with its fields changed, whatever the limits."""
    fields = schema("record").decode(record)
    change(fields)
    return schema("record").encode(fields)


def signature_of(record: bytes) -> Fields:
    signature: Fields = schema("record").decode(record)["signatures"][0]
    return signature


class TestAccepted:
    @pytest.mark.parametrize("key", ["p256", "rsa2048", "ed25519"])
    def test_a_seal_alone(self, key: Any) -> None:  # noqa: ANN401  a KeyKind
        world = World(key)
        verified = admit(world.record(), NOW_MS, world.trust)
        assert verified.statement.fields == world.document()
        assert verified.statement.raw == world.raw()
        assert verified.statement.digest == sha256(world.raw()).digest()
        assert (verified.seal.agency, verified.leaders, verified.append_ms, verified.batch) == (
            SENDER,
            (),
            NOW_MS,
            False,
        )

    def test_pss(self, world: World) -> None:
        issued = world.issue(SENDER, key="rsa2048")
        key = SigningKey(issued.private_key, issued.fingerprint, "rsa_pss_sha256")
        assert admit(world.record([key]), NOW_MS, world.trust).seal.agency == SENDER

    @pytest.mark.parametrize("changes", [LED, {}])
    def test_leader_and_seal_in_either_order(self, world: World, changes: Fields) -> None:
        keys = [world.leader.signing_key, world.seal.signing_key]
        for order in (keys, keys[::-1]):
            verified = admit(world.record(order, **changes), NOW_MS, world.trust)
            assert [leader.leader for leader in verified.leaders] == [LEADER]
            assert verified.seal.role == "seal"

    def test_statuses_and_reports(self, world: World) -> None:
        about = {"sender": OTHER, "id": "1"}
        said = status(SENDER, "s1", about, 1, signed_ms=NOW_MS, document_append_ms=NOW_MS, thread="H38/1")
        told = report(SENDER, "r1", "KTXH", "2025", [("gdp", "", 1.5)], signed_ms=NOW_MS)
        for kind, fields in (("status", said), ("report", told)):
            record = sign_record(encode(kind, fields), [world.seal.signing_key])
            assert admit(record, NOW_MS, world.trust).statement.kind.name == kind

    def test_two_threads_at_once(self, world: World) -> None:
        records = [world.record(id=f"t{n}") for n in range(20)]
        with ThreadPoolExecutor(2) as pool:
            admitted = list(pool.map(lambda record: admit(record, NOW_MS, world.trust), records * 4))
        assert [one.statement.id for one in admitted] == [f"t{n}" for n in range(20)] * 4


class TestVerified:
    def test_nobody_else_makes_one(self, world: World) -> None:
        true = admit(world.record(), NOW_MS, world.trust)
        for token in (None, object(), True):
            with pytest.raises(InvariantBroken):
                Verified(token, true.statement, true.seal, (), NOW_MS, batch=False)

    def test_it_has_no_room_for_more(self, world: World) -> None:
        with pytest.raises(AttributeError):
            admit(world.record(), NOW_MS, world.trust).extra = 1  # type: ignore[attr-defined]


class TestEnvelope:
    def test_record_too_large(self, world: World) -> None:
        assert is_unproven(rejection(world, world.record() + bytes(64 * 1024)), "record.too_large")

    def test_statement_too_large(self, world: World) -> None:
        raw = world.raw(content="x" * 32 * 1024)
        large = encode_record(raw, [signature_of(world.record())], limits=OWN_WORD)
        assert is_unproven(rejection(world, large), "statement.too_large")
        with pytest.raises(Rejected, match=r"statement\.too_large"):
            sign_record(raw, [world.seal.signing_key])

    @pytest.mark.parametrize(("count", "code"), [(0, "signature.missing"), (9, "signature.too_many")])
    def test_number_of_signatures(self, world: World, count: int, code: str) -> None:
        good = world.record()
        many = altered(good, lambda fields: fields.update(signatures=[signature_of(good)] * count))
        assert is_unproven(rejection(world, many), code)
        eight = altered(good, lambda fields: fields.update(signatures=[signature_of(good)] * 8))
        assert admit(eight, NOW_MS, world.trust).seal.agency == SENDER

    def test_number_of_receipts(self, world: World) -> None:
        _, receipt = world.with_attachment()
        with pytest.raises(Rejected, match=r"storage\.too_many"):
            sign_record(world.raw(), [world.seal.signing_key], [receipt] * 101)
        many = altered(world.record(), lambda fields: fields.update(storage=[receipt] * 101))
        assert is_unproven(rejection(world, many), "storage.too_many")

    def test_long_path(self, world: World) -> None:
        """Of a batch so large that the path would be right."""
        key, raw = world.seal.signing_key, world.raw()
        for length in (32, 33):
            path, size = [bytes(32)] * length, 1 << length
            top = root_from_path(leaf_hash(raw), 0, size, path)
            batch = BATCH.encode(
                {"root": top, "size": size, "sender": SENDER, "certificate": key.certificate, "signed_ms": NOW_MS}
            )
            proof = {"statement": batch, "index": 0, "path": path}
            signature = {"algorithm": key.algorithm, "certificate": key.certificate, "value": key.sign(batch)}
            fields = {"statement": raw, "signatures": [signature | {"batch": proof}], "storage": []}
            record = schema("record").encode(fields)
            if length == 32:
                assert admit(record, NOW_MS, world.trust).batch
            else:
                assert is_unproven(rejection(world, record), "batch.path")

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            (b"", "avro.not_avro"),
            (b"junk and more", "avro.not_avro"),
            (b"\xc3\x01unknown!", "avro.unknown_schema"),
            (schema("record").prefix, "avro.truncated"),
        ],
    )
    def test_not_a_record(self, world: World, value: bytes, code: str) -> None:
        assert is_unproven(rejection(world, value), code)

    def test_damaged_records(self, world: World) -> None:
        assert is_unproven(rejection(world, world.record()[:-1]), "avro.truncated")
        assert is_unproven(rejection(world, world.record() + b"x"), "avro.trailing_bytes")
        assert is_unproven(rejection(world, world.raw()), "avro.not_a_record")


class TestKind:
    @pytest.mark.parametrize("name", ["batch", "record"])
    def test_not_for_submission(self, world: World, name: str) -> None:
        batch = {"root": bytes(32), "size": 1, "sender": SENDER, "certificate": bytes(32), "signed_ms": NOW_MS}
        raw = BATCH.encode(batch) if name == "batch" else world.record()
        assert is_unproven(rejection(world, sign_record(raw, [world.seal.signing_key])), "statement.kind_not_accepted")

    def test_damaged_statement(self, world: World) -> None:
        record = sign_record(world.raw()[:-1], [world.seal.signing_key])
        rejected = rejection(world, record)
        assert is_unproven(rejected, "avro.truncated")
        assert rejected.statement is None


class TestCertificates:
    """All codes are in ``test_trust``; here: that the gate asks, and at the append time."""

    def test_unknown(self, world: World) -> None:
        issued = world.authority.issue(SENDER, "not listed")
        rejected = rejection(world, world.record([issued.signing_key]))
        assert is_unproven(rejected, "certificate.unknown")
        assert isinstance(rejected.statement, Statement)

    def test_every_signature_needs_one(self, world: World) -> None:
        issued = world.authority.issue(SENDER, "not listed")
        record = world.record([world.seal.signing_key, issued.signing_key])
        assert is_unproven(rejection(world, record), "certificate.unknown")

    def test_revoked_at_the_append_time(self) -> None:
        world = World()
        world.revoke(world.seal, NOW_MS)
        assert is_unproven(rejection(world, world.record()), "certificate.revoked")
        assert admit(world.record(), NOW_MS - 1, world.trust).append_ms == NOW_MS - 1

    def test_stale_list_is_not_the_senders_fault(self) -> None:
        world = World()
        world.view.lists.clear()
        with pytest.raises(Unavailable) as caught:
            admit(world.record(), NOW_MS, world.renew())
        assert caught.value.code == "crl.stale"
        assert caught.value.retriable


class TestSignatures:
    def test_of_other_bytes(self, world: World) -> None:
        record = encode_record(world.raw(id="other"), [signature_of(world.record())])
        assert is_unproven(rejection(world, record), "signature.invalid")

    def test_of_another_key(self, world: World) -> None:
        key = SigningKey(world.other_seal.private_key, world.seal.fingerprint)
        assert is_unproven(rejection(world, world.record([key])), "signature.invalid")

    def test_every_one_is_verified(self, world: World) -> None:
        forged = SigningKey(world.other_seal.private_key, world.leader.fingerprint)
        record = world.record([world.seal.signing_key, forged])
        assert is_unproven(rejection(world, record), "signature.invalid")

    def test_algorithm_of_another_key(self, world: World) -> None:
        record = altered(world.record(), lambda fields: fields["signatures"][0].update(algorithm="ed25519"))
        assert is_unproven(rejection(world, record), "signature.algorithm")

    def test_cms_that_is_junk(self, world: World) -> None:
        record = altered(world.record(), lambda fields: fields["signatures"][0].update(algorithm="cms"))
        assert is_unproven(rejection(world, record), "cms.malformed")


class TestSender:
    def test_seal_of_another_agency(self, world: World) -> None:
        record = world.record([world.other_seal.signing_key])
        rejected = rejection(world, record)
        assert is_unproven(rejected, "signature.not_the_senders")
        assert isinstance(rejected.statement, Statement)
        assert rejected.statement.sender == SENDER

    @pytest.mark.parametrize("place", [0, 1])
    def test_nobody_signs_along(self, world: World, place: int) -> None:
        keys = [world.seal.signing_key]
        keys.insert(place, world.other_seal.signing_key)
        assert is_unproven(rejection(world, world.record(keys)), "signature.not_the_senders")

    def test_leader_without_the_seal(self, world: World) -> None:
        assert is_unproven(rejection(world, world.record([world.leader.signing_key])), "signature.not_the_senders")

    def test_backbone_says_no_documents(self) -> None:
        world = World()
        backbone = world.authority.backbone
        world.list_certificate(backbone.certificate, "backbone", "G00.AXIS")
        world.renew()
        record = world.record([backbone.signing_key], sender="G00.AXIS")
        assert is_unproven(rejection(world, record), "signature.not_the_senders")


class TestLeaders:
    def test_stripped(self, world: World) -> None:
        assert admit(world.record([world.leader.signing_key, world.seal.signing_key], **LED), NOW_MS, world.trust)
        assert is_proven(rejection(world, world.record(**LED)), "signature.leader_missing")

    def test_another_leader(self, world: World) -> None:
        world.view.leaders["H37.02-L2"] = replace(world.view.leaders[LEADER], id="H37.02-L2")
        other = world.issue(SENDER, leader="H37.02-L2")
        record = world.record([other.signing_key, world.seal.signing_key], **LED)
        assert is_proven(rejection(world, record), "signature.leader_missing")

    def test_no_longer_listed(self) -> None:
        world = World()
        record = world.record([world.leader.signing_key, world.seal.signing_key], **LED)
        assert admit(record, NOW_MS, world.trust).leaders
        world.view.leaders[LEADER] = replace(world.view.leaders[LEADER], valid_to=date(2025, 12, 31))
        world.renew()
        assert is_proven(rejection(world, record), "signature.leader_not_listed")

    def test_of_another_agency(self, world: World) -> None:
        stranger = "H38-L1"
        world.view.leaders[stranger] = replace(world.view.leaders[LEADER], id=stranger, agency=OTHER)
        issued = world.issue(OTHER, leader=stranger)
        record = world.record([issued.signing_key, world.seal.signing_key])
        assert is_proven(rejection(world, record), "signature.leader_not_listed")


class TestStorage:
    def sealed(self, world: World, fields: Fields, receipts: Sequence[Fields]) -> bytes:
        return sign_record(encode("document", fields), [world.seal.signing_key], receipts)

    @pytest.mark.parametrize("keys", [[STORAGE_KEY], [b"new", STORAGE_KEY], None])
    def test_vouched_for(self, world: World, keys: list[bytes] | None) -> None:
        fields, receipt = world.with_attachment()
        record = self.sealed(world, fields, [receipt])
        assert admit(record, NOW_MS, world.trust, storage_keys=keys).statement.fields == fields

    @pytest.mark.parametrize("keys", [[STORAGE_KEY], None])
    def test_missing(self, world: World, keys: list[bytes] | None) -> None:
        fields, receipt = world.with_attachment()
        for receipts in ([], [receipt | {"size": 6}], [receipt | {"sha256": bytes(32)}]):
            rejected = rejection(world, self.sealed(world, fields, receipts), storage_keys=keys)
            assert is_proven(rejected, "storage.receipt_missing")

    def test_forged(self, world: World) -> None:
        fields, receipt = world.with_attachment()
        for change in ({"mac": bytes(32)}, {"stored_ms": NOW_MS + 1}):
            rejected = rejection(world, self.sealed(world, fields, [receipt | change]), storage_keys=[STORAGE_KEY])
            assert is_proven(rejected, "storage.receipt_forged")

    def test_expired(self, world: World) -> None:
        fields, receipt = world.with_attachment()
        oldest = NOW_MS - RECEIPT_MS_MAX
        for stored_ms in (oldest, oldest - 1):
            mac = storage.seal(STORAGE_KEY, receipt["sha256"], receipt["size"], stored_ms)
            record = self.sealed(world, fields, [receipt | {"stored_ms": stored_ms, "mac": mac}])
            if stored_ms == oldest:
                assert admit(record, NOW_MS, world.trust, storage_keys=[STORAGE_KEY])
            else:
                assert is_proven(rejection(world, record, storage_keys=[STORAGE_KEY]), "storage.receipt_expired")
            assert admit(record, NOW_MS, world.trust, storage_keys=None), "years later it was good then"

    @pytest.mark.parametrize("keys", [(), [b"other"]])
    def test_without_the_key_no_receipt_is_good(self, world: World, keys: Sequence[bytes]) -> None:
        fields, receipt = world.with_attachment()
        rejected = rejection(world, self.sealed(world, fields, [receipt]), storage_keys=keys)
        assert is_proven(rejected, "storage.receipt_forged")
        assert rejection(world, self.sealed(world, fields, [receipt])).code == "storage.receipt_forged"

    def test_spare_receipts_do_not_matter(self, world: World) -> None:
        _, receipt = world.with_attachment(b"nobody's key")
        record = sign_record(world.raw(), [world.seal.signing_key], [receipt])
        assert admit(record, NOW_MS, world.trust, storage_keys=[STORAGE_KEY])

    def test_what_does_not_fit_is_a_callers_bug(self) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            storage.seal(STORAGE_KEY, b"short", 1, 1)
        with pytest.raises(ValueError, match="size"):
            storage.seal(STORAGE_KEY, bytes(32), 1 << 64, 1)
        with pytest.raises(Rejected, match=r"storage\.receipt_forged"):
            storage.check([STORAGE_KEY], {"sha256": bytes(32), "size": 1 << 64, "stored_ms": 1, "mac": bytes(32)})


class TestTime:
    @pytest.mark.parametrize("signed_ms", [NOW_MS + FUTURE_MS_MAX, NOW_MS - AGE_MS_MAX])
    def test_within(self, world: World, signed_ms: int) -> None:
        assert admit(world.record(signed_ms=signed_ms), NOW_MS, world.trust)

    @pytest.mark.parametrize(
        ("signed_ms", "code"),
        [
            (NOW_MS + FUTURE_MS_MAX + 1, "statement.in_future"),
            (NOW_MS - AGE_MS_MAX - 1, "statement.too_old"),
            (1 << 62, "statement.in_future"),
            (-(1 << 62), "statement.too_old"),
        ],
    )
    def test_outside(self, world: World, signed_ms: int, code: str) -> None:
        assert is_proven(rejection(world, world.record(signed_ms=signed_ms)), code)

    def test_of_the_batch(self, world: World) -> None:
        for signed_ms, code in ((NOW_MS + DAY_MS, "statement.in_future"), (0, "statement.too_old")):
            record = sign_batch([world.raw()], world.seal.signing_key, SENDER, signed_ms)[0]
            assert is_proven(rejection(world, record), code)

    def test_rules_of_the_kind(self, world: World) -> None:
        assert is_proven(rejection(world, world.record(secrecy="mat")), "document.secret")


class TestBatches:
    def batch(self, world: World, count: int = 5, **options: Any) -> list[bytes]:  # noqa: ANN401
        return sign_batch(
            [world.raw(id=f"b{n}") for n in range(count)], world.seal.signing_key, SENDER, NOW_MS, **options
        )

    @pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
    def test_every_leaf(self, world: World, count: int) -> None:
        for number, record in enumerate(self.batch(world, count)):
            verified = admit(record, NOW_MS, world.trust)
            assert (verified.statement.id, verified.batch) == (f"b{number}", True)

    def test_with_a_leader(self, world: World) -> None:
        raws = [world.raw(id=f"b{n}", **LED) for n in range(3)]
        key, leaders = world.seal.signing_key, [world.leader.signing_key]
        for record in sign_batch(raws, key, SENDER, NOW_MS, leaders=leaders):
            assert [one.leader for one in admit(record, NOW_MS, world.trust).leaders] == [LEADER]

    def test_one_verification(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        verified: list[object] = []
        monkeypatch.setattr("exchange.signatures.batch.check_signature", lambda *given: verified.append(given))
        for record in self.batch(world, 50):
            admit(record, NOW_MS, world.trust)
        assert len(verified) == 1

    def test_a_bad_signature_is_not_remembered(self, world: World) -> None:
        records = [
            altered(record, lambda fields: fields["signatures"][0].update(value=b"\x30\x00"))
            for record in self.batch(world)
        ]
        for record in records:
            assert is_unproven(rejection(world, record), "signature.invalid")

    def test_another_signature_of_a_remembered_batch(self, world: World) -> None:
        good, other, *_ = self.batch(world)
        assert admit(good, NOW_MS, world.trust)
        bad = altered(other, lambda fields: fields["signatures"][0].update(value=b"\x30\x00"))
        assert is_unproven(rejection(world, bad), "signature.invalid")

    def test_certificate_is_asked_for_each_leaf(self) -> None:
        world = World()
        first, second, *_ = self.batch(world)
        assert admit(first, NOW_MS, world.trust).batch
        world.revoke(world.seal, NOW_MS)
        assert is_unproven(rejection(world, second), "certificate.revoked")

    def test_statement_that_is_no_leaf(self, world: World) -> None:
        record = altered(self.batch(world)[0], lambda fields: fields.update(statement=world.raw(id="slipped-in")))
        assert is_unproven(rejection(world, record), "batch.other_root")

    def test_path_of_another_leaf(self, world: World) -> None:
        for index in (1, 4):
            record = altered(self.batch(world)[0], lambda fields, i=index: proof(fields).update(index=i))  # type: ignore[misc]
            assert rejection(world, record).code in {"batch.other_root", "batch.path"}

    @pytest.mark.parametrize("index", [-1, 5, 1 << 40])
    def test_index_outside(self, world: World, index: int) -> None:
        record = altered(self.batch(world)[0], lambda fields: proof(fields).update(index=index))
        assert is_unproven(rejection(world, record), "batch.path")

    def test_leaf_of_another_agency(self, world: World) -> None:
        """A batch may hold only its sender's statements, though the signature is right."""
        raws = [world.raw(), world.raw(sender=OTHER)]
        mine, others = sign_batch(raws, world.seal.signing_key, SENDER, NOW_MS)
        assert admit(mine, NOW_MS, world.trust).seal.agency == SENDER
        assert is_unproven(rejection(world, others), "batch.sender")

    def test_batch_of_another_agency(self, world: World) -> None:
        record = sign_batch([world.raw()], world.other_seal.signing_key, SENDER, NOW_MS)[0]
        assert is_unproven(rejection(world, record), "signature.not_the_senders")

    def test_batch_of_another_certificate(self, world: World) -> None:
        """A signature can't be carried over to another certificate of the same key."""
        again = world.issue(SENDER)
        key = SigningKey(again.private_key, world.seal.fingerprint)
        record = sign_batch([world.raw()], key, SENDER, NOW_MS)[0]
        moved = altered(record, lambda fields: fields["signatures"][0].update(certificate=again.fingerprint))
        assert is_unproven(rejection(world, moved), "batch.certificate")

    def test_something_else_in_place_of_the_batch(self, world: World) -> None:
        for raw, code in ((world.raw(), "batch.malformed"), (b"", "avro.not_avro"), (BATCH.prefix, "avro.truncated")):
            record = altered(self.batch(world)[0], lambda fields, r=raw: proof(fields).update(statement=r))  # type: ignore[misc]
            assert is_unproven(rejection(world, record), code)

    def test_a_document_signed_alone_is_no_batch(self, world: World) -> None:
        signed = signature_of(world.record())
        value = {"statement": world.raw(), "index": 0, "path": []}
        record = encode_record(world.raw(), [signed | {"batch": value}])
        assert is_unproven(rejection(world, record), "batch.malformed")

    def test_receipts_of_each_statement(self, world: World) -> None:
        fields, receipt = world.with_attachment()
        raws = [encode("document", fields), world.raw()]
        records = sign_batch(raws, world.seal.signing_key, SENDER, NOW_MS, storage=[[receipt], []])
        for record in records:
            assert admit(record, NOW_MS, world.trust, storage_keys=[STORAGE_KEY])
        with pytest.raises(InvariantBroken):
            sign_batch(raws, world.seal.signing_key, SENDER, NOW_MS, storage=[[]])


def proof(fields: Fields) -> Fields:
    found: Fields = fields["signatures"][0]["batch"]
    return found


class TestPinnedKey:
    """What the registrar and the backbone say."""

    def notice(self) -> bytes:
        about = {"sender": SENDER, "id": "1", "sha256": bytes(32)}
        return encode(
            "notice",
            {
                "id": "documents:0:1", "sender": "G00.AXIS", "to": SENDER, "outcome": "rejected", "kind": "document",
                "statement": about, "code": "x", "recipients": [], "topic": "documents", "partition": 0, "offset": 1,
                "append_ms": NOW_MS,
            },
        )  # fmt: skip

    def code_of(self, world: World, record: bytes, name: str = "notice") -> str:
        with pytest.raises(Rejected) as caught:
            open_signed(record, name, world.authority.backbone.private_key.public_key())
        return caught.value.code

    def test_opened(self, world: World) -> None:
        backbone = world.authority.backbone
        record = sign_record(self.notice(), [backbone.signing_key])
        assert open_signed(record, "notice", backbone.private_key.public_key())["to"] == SENDER

    def test_larger_than_a_submission(self, world: World) -> None:
        entries: list[Entry] = [RevocationList("00" * 32, 1, bytes(200_000))]
        raw = directory_statement("1", "G00.REGISTRY", NOW_MS, entries)
        record = sign_record(raw, [world.authority.registrar_key])
        fields = open_signed(record, "directory", world.authority.registrar_public_key)
        assert entries_of(fields) == entries

    def test_refused(self, world: World) -> None:
        backbone, raw = world.authority.backbone.signing_key, self.notice()
        record = sign_record(raw, [backbone])
        assert self.code_of(world, sign_record(raw, [world.authority.registrar_key])) == "signature.invalid"
        assert self.code_of(world, sign_record(raw, [world.seal.signing_key])) == "signature.algorithm"
        assert self.code_of(world, sign_record(raw, [backbone, backbone])) == "signature.too_many"
        assert self.code_of(world, record, "directory") == "statement.kind_not_accepted"
        assert self.code_of(world, sign_batch([raw], backbone, "G00.AXIS", 1)[0]) == "signature.algorithm"
        assert self.code_of(world, b"") == "avro.not_avro"
        assert self.code_of(world, record + bytes(1 << 20)) == "record.too_large"

    def test_a_notice_is_no_submission(self, world: World) -> None:
        record = sign_record(self.notice(), [world.authority.backbone.signing_key])
        assert is_unproven(rejection(world, record), "statement.kind_not_accepted")
