"""Verifying deliveries at the recipient, with what the gateway tells of the directory.

Guarantees: every statement is verified as the gate did, by its certificates' chain up to the roots, at the broker's
append time; a notice by the backbone's own certificate. With roots of the caller's own nobody in between can forge a
signature. What rests on the gateway's word: which agency a certificate is listed for, and who leads it; the directory
is asked as it is now, not as of the offset that the hop decided by.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Sequence
from datetime import date
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from cryptography import x509

from exchange.agencies import BACKBONE_CODE
from exchange.agencies.entries import Agency, CertificateEntry, Leader, RevocationList
from exchange.agencies.levels import Level
from exchange.errors import InvariantBroken, Rejected, Unavailable
from exchange.sdk.session import GatewayRefused, Session
from exchange.signatures import Trust, TrustCache, Word, admit, decode_record, open_signed, open_word
from exchange.signatures.envelope import OWN_WORD
from exchange.statements import Fields, identify

READER_CERTIFICATES_MAX = 4
"""Of one recipient: its newest ones."""
FRESH_S = 600.0
"""After so long authorities, lists and agencies are asked for again."""


class GatewayView:
    """The directory through a gateway, as `Trust` asks it; remembers its answers."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._answer: dict[str, Any] = session.call("GET", "/v1/trust")
        self._agencies: dict[str, Agency | None] = {}
        self._leaders: dict[str, Leader | None] = {}
        listed = (*self._answer["authorities"], *self._answer["backbone"])
        entries = [_certificate(one) for one in listed]
        self._certificates: dict[bytes, CertificateEntry | None] = {
            sha256(entry.certificate).digest(): entry for entry in entries
        }
        self._lists = {
            one["issuer"]: RevocationList(one["issuer"], one["version"], base64.b64decode(one["crl"]))
            for one in self._answer["revocation_lists"]
        }

    @property
    def roots(self) -> list[bytes]:
        """The roots that the gateway names, DER."""
        return [base64.b64decode(root) for root in self._answer["roots"]]

    @property
    def backbone(self) -> bytes:
        """SHA-256 of the certificate that notices are signed with."""
        for fingerprint, entry in self._certificates.items():
            if entry is not None and entry.role == "backbone" and entry.agency == BACKBONE_CODE:
                return fingerprint
        raise Unavailable("directory.no_backbone", "the gateway names no certificate of the backbone")

    def certificate(self, fingerprint: bytes) -> CertificateEntry | None:
        """By SHA-256; what comes is what was asked for, or nothing."""
        if fingerprint not in self._certificates:
            found = self._find(f"/v1/certificates/{fingerprint.hex()}")
            entry = None if found is None else _certificate(found)
            if entry is not None and sha256(entry.certificate).digest() != fingerprint:
                raise InvariantBroken(f"the gateway gave another certificate for {fingerprint.hex()}")
            self._certificates[fingerprint] = entry
        return self._certificates[fingerprint]

    def authorities(self) -> Iterable[CertificateEntry]:
        """All issuing authorities."""
        return [one for one in self._certificates.values() if one is not None and one.role == "authority"]

    def revocation_list(self, issuer: str) -> RevocationList | None:
        """The newest list of an authority."""
        return self._lists.get(issuer)

    def agency(self, code: str) -> Agency | None:
        """By any of its codes."""
        if code not in self._agencies:
            found = self._find(f"/v1/agencies/{quote(code, safe='')}")
            self._agencies[code] = None if found is None else _agency(found)
        return self._agencies[code]

    def leader(self, leader_id: str) -> Leader | None:
        """By id."""
        if leader_id not in self._leaders:
            found = self._find(f"/v1/leaders/{quote(leader_id, safe='')}")
            self._leaders[leader_id] = None if found is None else _leader(found)
        return self._leaders[leader_id]

    def encryption(self, code: str) -> tuple[str, list[bytes]]:
        """Who gets what is sent to this code today, and what is listed for encrypting to it (SHA-256).

        Raises: GatewayRefused ``agency.unknown``.
        """
        found = self._session.call("GET", f"/v1/agencies/{quote(code, safe='')}/encryption")
        entries = [_certificate(one) for one in found["certificates"]]
        listed = {sha256(entry.certificate).digest(): entry for entry in entries if entry.agency == found["agency"]}
        self._certificates.update(listed)
        return found["agency"], list(listed)

    def _find(self, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._session.call("GET", path)
        except GatewayRefused as exc:
            if exc.status == 404:
                return None
            raise
        return found


class Verifying:
    """Opens records. `roots`: DER of the roots to trust; None: those that the gateway names."""

    def __init__(self, session: Session, roots: Sequence[bytes] | None) -> None:
        self._session = session
        self._roots = roots
        self._cache = TrustCache()
        self._view: GatewayView | None = None
        self._trust: Trust | None = None
        self._until = 0.0

    def roots(self) -> Sequence[bytes]:
        """DER of the roots to trust. Raises: Unavailable."""
        view, _ = self._now()
        return self._roots or view.roots

    def open(self, record: bytes, append_ms: int) -> tuple[str, Fields, str, bytes]:
        """Verify a delivery; returns kind, fields, thread (empty for a notice) and the statement's bytes.

        Raises: InvariantBroken if it doesn't verify: the exchange delivers verified statements only; Unavailable.
        """
        try:
            try:
                return self._open(record, append_ms)
            except Unavailable:
                self._until = 0.0  # a list that was fresh when we asked may be over: once more with a new one
                return self._open(record, append_ms)
        except GatewayRefused:
            raise
        except Rejected as exc:
            raise InvariantBroken(f"a delivery doesn't verify: {exc}") from exc

    def word(self, record: bytes, kind: str) -> Word:
        """Verify a promise or lapse (`kind`) of the backbone, whose certificate must be good now.

        Raises: InvariantBroken if it doesn't verify; Unavailable.
        """
        view, trust = self._now()
        try:
            signer = trust.signer(view.backbone, int(time.time() * 1000))
            found = open_word(record, signer.certificate, (kind,))
            if found.fields["sender"] != BACKBONE_CODE:
                raise Rejected("signature.not_the_senders", found.fields["sender"])
        except GatewayRefused:
            raise
        except Rejected as exc:
            raise InvariantBroken(f"a {kind} doesn't verify: {exc}") from exc
        return found

    def readers(self, code: str) -> list[x509.Certificate]:
        """The certificates to encrypt to for this code: all that are good now, so that a change of keys harms nobody.

        Raises: Rejected ``encryption.no_reader`` if there is none; Unavailable.
        """
        view, trust = self._now()
        agency, listed = view.encryption(code)
        good = []
        for fingerprint in listed:
            try:
                good.append(trust.encryption(fingerprint, int(time.time() * 1000)).certificate.parsed)
            except GatewayRefused:
                raise
            except Rejected:  # expired, revoked, of an issuer that isn't trusted: not encrypted to
                continue
        if not good:
            raise Rejected("encryption.no_reader", f"{code}: {agency} has no good certificate to encrypt to")
        return good[-READER_CERTIFICATES_MAX:]

    def _open(self, record: bytes, append_ms: int) -> tuple[str, Fields, str, bytes]:
        view, trust = self._now()
        raw: bytes = decode_record(record, OWN_WORD)["statement"]
        if identify(raw).name == "notice":
            signer = trust.signer(view.backbone, append_ms)
            return "notice", open_signed(record, "notice", signer.public_key), "", raw
        statement = admit(record, append_ms, trust, storage_keys=None).statement
        return statement.kind.name, statement.fields, statement.kind.key(statement.fields), raw

    def _now(self) -> tuple[GatewayView, Trust]:
        if self._view is None or self._trust is None or time.monotonic() > self._until:
            self._view = GatewayView(self._session)
            self._trust = Trust(self._view, self._roots or self._view.roots, self._cache)
            self._until = time.monotonic() + FRESH_S
        return self._view, self._trust


def _certificate(found: dict[str, Any]) -> CertificateEntry:
    der = base64.b64decode(found["certificate"])
    return CertificateEntry(der, found["version"], found["role"], found["agency"], found["leader"])


def _agency(found: dict[str, Any]) -> Agency:
    return Agency(
        found["code"], found["version"], found["name"], Level(found["level"]), found["form"], found["parent"],
        tuple(found["other_codes"]), date.fromisoformat(found["valid_from"]), _day(found["valid_to"]),
        tuple(found["successors"]),
    )  # fmt: skip


def _leader(found: dict[str, Any]) -> Leader:
    return Leader(
        found["id"], found["version"], found["agency"], found["name"], found["position"],
        date.fromisoformat(found["valid_from"]), _day(found["valid_to"]),
    )  # fmt: skip


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
