"""An audited world whose statements are really signed and pass the real gate, with its directory and schemas as topics.

Made once, then copied: a copy's records are its own to spoil.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import cast

from exchange.agencies import BACKBONE_CODE, Directory, Level
from exchange.agencies.entries import CertificateEntry, Entry, Leader, RevocationList, SettingAside
from exchange.auditor import Balance, Coordinates, Cut, reconcile
from exchange.auditor.deep import Deep, Voice
from exchange.backbone.reading import Read
from exchange.errors import Rejected
from exchange.ledger.promises.saying import Batch, promises
from exchange.local.authority import DAY_MS, Authority
from exchange.local.issuing import Issued, Issuer, build_crl, subject
from exchange.pipeline.decide import Verdict
from exchange.signatures import Trust, TrustCache, admit, sign_batch, sign_record, storage
from exchange.statements import KINDS, Fields, compose, identify, schema, schemas
from exchange.statements.directory import directory_statement
from tests.unit.audited_world import (
    INBOX_PARTITIONS,
    PARTITIONS,
    START_MS,
    World,
    agency,
    document,
    report,
    status,
)
from tests.unit.audited_world import directory as country

LEADER = "H01-L1"


@dataclass
class Founded:
    """An authority, and the keys of those who speak. `silent` has a certificate that the directory doesn't list."""

    authority: Authority
    seals: dict[str, Issued]
    leader: Issued
    silent: Issued

    @property
    def deep(self) -> Deep:
        return Deep(
            registrar=Voice.of(self.authority.registrar.certificate),
            backbone=Voice.of(self.authority.backbone.certificate),
            roots=[self.authority.root_certificate],
            storage_keys=[self.authority.storage_key],
        )


def found() -> Founded:
    authority = Authority.generate(Path("never-written"), now_ms=START_MS)
    codes = [one.code for one in country().latest().agencies() if one.level != Level.COMMUNE]
    codes += ["H01.01.03", "H01.01.07"]

    def issue(code: str, leader: str | None = None) -> Issued:
        first, last = START_MS - 400 * DAY_MS, START_MS + 300 * DAY_MS
        return authority.issue(code, f"of {code}", leader, "p256", not_before_ms=first, not_after_ms=last)

    seals = {code: issue(code) for code in codes}
    return Founded(authority, seals, issue("H01", LEADER), issue("H01"))


class SignedWorld(World):
    """`founded`: who may speak."""

    def __init__(self, founded: Founded) -> None:
        self.founded = founded
        super().__init__(directory=Directory())
        self.notary = lambda raw: sign_record(raw, [founded.authority.backbone.signing_key])
        self._cache = TrustCache()
        for one in schemas().values():
            self._put("schemas", one.fingerprint.encode(), one.source.encode())
        authority = founded.authority
        crl = build_crl(
            Issuer(subject("Exchange Demo Issuing"), authority.issuing.private_key), [], START_MS - DAY_MS,
            START_MS + 200 * DAY_MS,
        )  # fmt: skip
        made = country().latest()
        group = made.group("@all")
        assert group is not None
        certificates = [CertificateEntry(one.certificate, 1, "seal", code, None) for code, one in founded.seals.items()]
        certificates.append(CertificateEntry(founded.leader.certificate, 1, "leader", "H01", LEADER))
        certificates.append(CertificateEntry(authority.issuing_certificate, 1, "authority", "G00", None))
        self.say([*made.agencies()], 0)
        self.say([group, Leader(LEADER, 1, "H01", "An", "Chủ tịch", date(2020, 1, 1), None)], 1)
        self.say([*certificates, RevocationList(authority.issuing.fingerprint.hex(), 1, crl)], 2)

    def say(self, entries: Sequence[Entry], later_ms: int) -> None:
        """Let the registrar say something."""
        authority, signed_ms = self.founded.authority, START_MS - DAY_MS + later_ms
        raw = directory_statement(f"{signed_ms}-0", authority.registrar.agency, signed_ms, entries)
        read = self._put("directory", b"", sign_record(raw, [authority.registrar_key]))
        self.directory.apply(read.offset, entries)

    def send(
        self, kind: str, fields: Fields, *, by: Issued | None = None, leader: bool = False, batch: bool = False,
        forged: str | None = None,
    ) -> Read:  # fmt: skip
        """Sign and submit. `forged`: ``receipt`` or ``key``."""
        raw = compose.encode(kind, fields)
        seal = by or self.founded.seals[fields["sender"]]
        keys = [self.founded.leader.signing_key] if leader else []
        keys.append(seal.signing_key)
        receipts = [
            {"sha256": one["sha256"], "size": one["size"], "stored_ms": START_MS,
             "mac": storage.seal(self.founded.authority.storage_key, one["sha256"], one["size"], START_MS)}
            for one in fields.get("attachments", ())
        ]  # fmt: skip
        if forged == "receipt":
            receipts[0]["mac"] = bytes(32)
        value = sign_record(raw, keys, receipts)
        if batch:
            value = sign_batch([raw, raw + b"x"], keys[-1], fields["sender"], START_MS, storage=[receipts, []])[0]
        key = KINDS[kind].key(fields).encode() if forged != "key" else b"another"
        return self.put(KINDS[kind].topic(fields), key, value, fields["id"])

    def put(self, topic: str, key: bytes, value: bytes, statement_id: str = "") -> Read:
        """Submit bytes as they are; the real gate gives its verdict."""
        read = self._append(topic, key, value, cast(Verdict, None))
        submission, _ = self._pending.pop()
        trust = Trust(self.directory.latest(), [self.founded.authority.root_certificate], self._cache)
        verdict: Verdict
        try:
            verdict = admit(value, read.append_ms, trust, storage_keys=[self.founded.authority.storage_key])
        except Rejected as exc:
            verdict = exc
        self._pending.append((submission, verdict))
        self.at.setdefault(statement_id, Coordinates(*read[:3]))
        return read

    def promise(self, most: int) -> None:
        """Let the backbone promise what the trace has, of at most so many more records of each partition."""
        key, now_ms = self.founded.authority.backbone.signing_key, START_MS + 9
        for partition in range(PARTITIONS):
            log = self.topics.setdefault(("promises", partition), [])
            first = identify(log[-1].value).decode(log[-1].value)["next"] if log else 0
            reads = [read for read in self.topics["trace", partition] if read.offset >= first][:most]
            if not reads:
                continue
            said = [one for read in reads for one in promises(_trace(read), read.offset, BACKBONE_CODE, now_ms)]
            batch = Batch(partition, first, reads[-1].offset + 1, said)
            value = batch.sign(key, BACKBONE_CODE, now_ms, "promises").value
            log.append(Read("promises", partition, 2 * len(log), START_MS, b"", value))
            fields = {"next": batch.next, "settled_ms": 0, "decided": []}
            state = Read("promises.state", partition, 0, START_MS, b"position", schema("promised").encode(fields))
            self.topics["promises.state", partition] = [state]

    def audited(self, **changes: object) -> Balance:
        """Audit deeply."""
        deep = replace(self.founded.deep, **changes)  # type: ignore[arg-type]
        cut = Cut(PARTITIONS, INBOX_PARTITIONS, dict(self._positions), self.openings)
        return reconcile(cut, self, None, deep=deep)

    def copy(self) -> SignedWorld:
        """The same topics, to be spoiled."""
        made = object.__new__(SignedWorld)
        made.__dict__.update(self.__dict__)
        made.topics = {place: list(log) for place, log in self.topics.items()}
        return made

    def _put(self, topic: str, key: bytes, value: bytes) -> Read:
        log = self.topics.setdefault((topic, 0), [])
        log.append(Read(topic, 0, len(log), START_MS, key, value))
        return log[-1]


def signed_lively(founded: Founded) -> SignedWorld:
    """Everything that can happen, over several batches; the last submission is in flight."""
    world = SignedWorld(founded)
    seals = founded.seals
    first, to_all = document("G01", "d1", "H01", "H02"), document("H01", "d2", "@all", "H01.01")
    world.send("document", first)
    world.send("document", to_all, leader=True)
    world.send("document", document("H01", "d3", "H01.08", "H01.09", "H02"), batch=True)
    world.send("document", document("H02", "d4", "H01.08"))
    world.send("document", document("H02", "d5", "H01", urgency=2))
    world.send("document", document("H02", "unknown", "H77"))
    world.send("document", document("H02", "no-group", "@none"))
    world.send("document", document("H02", "not-allowed", "@all"))
    world.send("document", document("H02", "forged", "H01"), by=seals["H01"])
    world.send("document", document("H01", "unlisted", "H02"), by=founded.silent)
    world.send("document", document("H02", "no-receipt", "H01"), forged="receipt")
    world.send("document", document("H02", "wrong-key", "H01"), forged="key")
    world.send("document", {**document("H02", "ruled-out", "H01"), "secrecy": "mat"})
    world.send("document", document("H01.08", "from-closed", "H01"))
    world.put("documents", b"forged", b"\x00\x01\x02")
    world.send("report", report("H01.01.07", "r1"))
    world.send("report", report("H01.01", "r2", "G00"))
    world.hop()
    world.send("document", first)
    world.send("document", document("G01", "d1", "H02", content="other bytes"))
    recall = compose.follow_up(first, "recall", "recall-1", "Thu hồi", signed_ms=START_MS)
    world.send("document", recall | {"to": ["H01"]})
    world.send("document", recall | {"id": "recall-2", "to": ["H01.01"]})
    world.send("status", status("H01", "s1", first, 1))
    world.send("status", status("H01", "s2", first, 3))
    world.send("status", status("H01", "s2", first, 3))
    world.send("status", status("H01", "s-late", first, 2))
    world.send("status", status("H02", "s3", first, 13, said_by="G01"))
    world.send("status", status("H01.01.03", "s4", to_all, 1))
    world.send("status", status("H01.01.03", "s5", first, 1))
    world.send("status", status("H02", "s-no", document("G01", "never", "H02"), 1))
    world.hop()
    world.say([replace(agency("H02", Level.PROVINCE, "G00"), version=2, name="Tỉnh mới")], 5)
    world.send("document", document("G01", "d6", "H02"))
    world.send("status", status("H02", "s6", first, 15))
    world.send("status", status("H01", "s8", first, 16))
    aside = world.send("document", document("G01", "aside", "H02"))
    world.say([_aside(aside)], 6)
    world.hop()
    world.promise(2)
    world.promise(99)
    world.send("document", document("G01", "later", "H02"))
    return world


def _trace(read: Read) -> Fields:
    return identify(read.value).decode(read.value)


def _aside(read: Read) -> SettingAside:
    return SettingAside(
        read.topic, read.partition, read.offset, 1, sha256(read.value).digest(), "document", "G01", "aside",
        "G01/aside", "trips a bug", "operator",
    )  # fmt: skip
