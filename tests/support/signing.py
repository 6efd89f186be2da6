"""A small signed world for tests: an authority, a directory view of dictionaries, agencies that can sign.

Everything is at one fixed time, `NOW_MS`; nothing is written to disk. `World.trust` is made anew after each
change, as the hop does when the directory advances, with one shared cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from exchange.agencies.entries import Agency, CertificateEntry, Leader, RevocationList
from exchange.agencies.levels import Level
from exchange.local.authority import DAY_MS, Authority
from exchange.local.issuing import Issued, Issuer, KeyKind, Revoked, Usage, build_crl, subject
from exchange.signatures import SigningKey, Trust, TrustCache, sign_record, storage
from exchange.statements import Fields
from exchange.statements.compose import attachment, document, encode

NOW_MS = 1_767_225_600_000
"""2026-01-01 00:00 UTC."""

SENDER, OTHER = "H37.02", "H38"
LEADER = "H37.02-L1"
STORAGE_KEY = b"k" * 32

Role = Literal["authority", "seal", "connector", "delegate", "leader", "backbone", "encryption"]


class FakeView:
    """The directory as plain dictionaries, to be changed at will; then make a new `Trust`."""

    def __init__(self) -> None:
        self.offset = 0
        self.agencies: dict[str, Agency] = {}
        self.leaders: dict[str, Leader] = {}
        self.certificates: dict[bytes, CertificateEntry] = {}
        self.lists: dict[str, RevocationList] = {}

    def agency(self, code: str) -> Agency | None:
        """By its code, or another spelling of it."""
        others = (one for one in self.agencies.values() if code in one.other_codes)
        return self.agencies.get(code) or next(others, None)

    def leader(self, leader_id: str) -> Leader | None:
        """By id."""
        return self.leaders.get(leader_id)

    def certificate(self, fingerprint: bytes) -> CertificateEntry | None:
        """By SHA-256."""
        return self.certificates.get(fingerprint)

    def authorities(self) -> Iterable[CertificateEntry]:
        """All of that role."""
        return [entry for entry in self.certificates.values() if entry.role == "authority"]

    def revocation_list(self, issuer: str) -> RevocationList | None:
        """By the issuer's SHA-256, hex."""
        return self.lists.get(issuer)


class World:
    """An authority, a view, the seal of `SENDER` and of `OTHER`, and one leader of `SENDER`."""

    def __init__(self, key: KeyKind = "p256") -> None:
        self.authority = Authority.generate(Path("never-written"), now_ms=NOW_MS)
        self.view = FakeView()
        self.cache = TrustCache()
        self.revoked: list[Revoked] = []
        self.list_certificate(self.authority.issuing_certificate, "authority", "G00.REGISTRY")
        self.publish_crl()
        for code in (SENDER, OTHER):
            since = date(2019, 1, 1)
            self.view.agencies[code] = Agency(code, 1, code, Level.DISTRICT, "district", None, (), since, None, ())
        self.view.leaders[LEADER] = Leader(LEADER, 1, SENDER, "Nông Thị An", "Chủ tịch", date(2020, 1, 1), None)
        self.seal = self.issue(SENDER, key=key)
        self.other_seal = self.issue(OTHER)
        self.leader = self.issue(SENDER, leader=LEADER)
        self.trust = self.renew()

    def renew(self) -> Trust:
        """The trust of the view as it is now."""
        self.view.offset += 1
        self.trust = Trust(self.view, [self.authority.root_certificate], self.cache)
        return self.trust

    def issue(
        self,
        agency: str,
        leader: str | None = None,
        key: KeyKind = "p256",
        *,
        validity_ms: tuple[int, int] = (NOW_MS - DAY_MS, NOW_MS + 365 * DAY_MS),
        usage: Usage = "sign",
        role: Role | None = None,
        listed: str | None = None,
        connector: bool = False,
        delegate: str | None = None,
    ) -> Issued:
        """Issue and list a certificate; `listed`: under which agency, if not its own."""
        first, last = validity_ms
        issued = self.authority.issue(
            agency,
            f"of {agency}",
            leader,
            key,
            not_before_ms=first,
            not_after_ms=last,
            usage=usage,
            connector=connector,
            delegate=delegate,
        )
        own: Role = "leader" if leader else "connector" if connector else "delegate" if delegate else "seal"
        self.list_certificate(issued.certificate, role or own, listed or agency, leader)
        return issued

    def list_certificate(self, der: bytes, role: Role, agency: str, leader: str | None = None) -> None:
        """Put a certificate into the view."""
        self.view.certificates[sha256(der).digest()] = CertificateEntry(der, 1, role, agency, leader)

    def revoke(self, issued: Issued, at_ms: int, invalidity_ms: int | None = None) -> None:
        """Put a certificate onto the issuing authority's list and publish that."""
        serial = self.trust.signer(issued.fingerprint, NOW_MS).certificate.serial
        self.revoked.append(Revoked(serial, at_ms, invalidity_ms, "keyCompromise"))
        self.publish_crl()
        self.renew()

    def publish_crl(self, next_update_ms: int = NOW_MS + 30 * DAY_MS, issuer: Issuer | None = None) -> None:
        """Publish the issuing authority's list; another `issuer` makes a forged one."""
        by = issuer or Issuer(subject("Exchange Demo Issuing"), self.authority.issuing.private_key)
        crl = build_crl(by, self.revoked, NOW_MS - DAY_MS, next_update_ms)
        key = self.authority.issuing.fingerprint.hex()
        self.view.lists[key] = RevocationList(key, 1, crl)

    def document(self, **changes: Any) -> Fields:  # noqa: ANN401  fields of the schema
        """A valid document of `SENDER` about 2 KiB long, asking for no leader; `changes` to its fields."""
        fields = document(
            SENDER, "2026-1", ["H38", "H39.01"], "Về việc triển khai kế hoạch năm 2026. " * 13, signed_ms=NOW_MS - 1000,
            issued=date(2025, 12, 31), signer=("Nông Thị An", "Chủ tịch", None), content="Kính gửi quý cơ quan. " * 22,
            information=[f"H{n}.{n}.01" for n in range(40, 60)],
            references=[{"agency": "H38", "code": f"{n}/QĐ-UBND", "issued": None, "id": None} for n in range(10)],
        )  # fmt: skip
        return fields | changes

    def raw(self, **changes: Any) -> bytes:  # noqa: ANN401  fields of the schema
        """The bytes of `document`."""
        return encode("document", self.document(**changes))

    def record(self, keys: Sequence[SigningKey] = (), **changes: Any) -> bytes:  # noqa: ANN401  fields of the schema
        """The signed record of `document`, by default with the sender's seal."""
        return sign_record(self.raw(**changes), keys or [self.seal.signing_key])

    def with_attachment(self, key: bytes = STORAGE_KEY) -> tuple[Fields, Fields]:
        """A document with one attachment, and the store's receipt for that."""
        digest, size = sha256(b"annex").digest(), 5
        mac = storage.seal(key, digest, size, NOW_MS)
        receipt = {"sha256": digest, "size": size, "stored_ms": NOW_MS, "mac": mac}
        return self.document(attachments=[attachment("annex.pdf", "application/pdf", size, digest)]), receipt
