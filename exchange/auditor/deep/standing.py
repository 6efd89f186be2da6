"""In whose name a certificate speaks, and when: the auditor's own reading of the directory's certificates and lists.

Guarantees: shares no code with the gate's trust; what both stand on reads one certificate or one list of revocations
(`certificates.parse`, `revocation.parse_crl`). As of one directory offset each certificate is looked at once.

Source: RFC 5280 §6.1 and §6.3, without policies and name constraints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature

from exchange.agencies import DirectoryView
from exchange.errors import Misconfigured, Rejected, Unavailable
from exchange.signatures.certificates import UNREADABLE, Certificate, parse
from exchange.signatures.revocation import Revocations, parse_crl

DEPTH_MAX = 3


class Standing(NamedTuple):
    """Whom a certificate speaks for, from the first to the last moment (ms) that it may. `leader`: a person's id."""

    certificate: Certificate
    role: str
    agency: str
    leader: str | None
    first_ms: int
    last_ms: int


class Standings:
    """Looks certificates up. `roots`: DER of the trusted ones."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        """Raises: Misconfigured if a root can't be read."""
        try:
            self._roots = [parse(der) for der in roots]
        except Rejected as exc:
            raise Misconfigured([f"a root: {exc}"]) from exc
        self._parsed: dict[bytes, Certificate] = {}
        self._links: dict[tuple[bytes, bytes], bool] = {}
        self._lists: dict[tuple[bytes, bytes], Revocations] = {}
        self._offset = -1
        self._known: dict[bytes, Standing | Rejected] = {}

    def at(self, view: DirectoryView, fingerprint: bytes, append_ms: int) -> Standing:
        """The standing of a certificate at that time; Rejected: it has none."""
        if view.offset != self._offset:
            self._offset, self._known = view.offset, {}
        found = self._known.get(fingerprint)
        if found is None:
            try:
                found = self._standing(view, fingerprint)
            except Rejected as exc:
                found = exc
            self._known[fingerprint] = found
        if isinstance(found, Rejected):
            raise Rejected(found.code, found.detail)
        if not found.first_ms <= append_ms <= found.last_ms:
            raise Rejected("certificate.not_at_that_time", f"{append_ms}, not {found.first_ms} to {found.last_ms}")
        return found

    def _standing(self, view: DirectoryView, fingerprint: bytes) -> Standing:
        entry = view.certificate(fingerprint)
        if entry is None:
            raise Rejected("certificate.unknown", fingerprint.hex())
        own = self._read(entry.certificate)
        agency = view.agency(own.code) if own.code is not None else None
        if own.code != entry.agency and (agency is None or agency.code != entry.agency):
            raise Rejected("certificate.subject_mismatch", f"{own.code}, listed {entry.agency}")
        if (
            own.leader != entry.leader
            or entry.role in {"authority", "encryption"}
            or own.may_certify
            or not own.may_sign
        ):
            raise Rejected("certificate.wrong_usage", f"listed as {entry.role}")
        if own.is_connector != (entry.role == "connector"):
            raise Rejected("certificate.wrong_usage", f"listed as {entry.role}")
        holder = None if own.delegate is None else view.agency(own.delegate)
        if (holder is not None and holder.code != entry.agency) != (entry.role == "delegate"):
            raise Rejected("certificate.wrong_usage", f"listed as {entry.role}")
        if (own.delegate is None) != (entry.role != "delegate"):
            raise Rejected("certificate.wrong_usage", f"listed as {entry.role}")
        first, last, child = own.not_before_ms, own.not_after_ms, own
        for issuer in self._climb(view, own, 0):
            first, last = max(first, issuer.not_before_ms), min(last, issuer.not_after_ms)
            last = min(last, self._until(view, child, issuer))
            child = issuer
        return Standing(own, entry.role, entry.agency, entry.leader, first, last)

    def _climb(self, view: DirectoryView, child: Certificate, below: int) -> list[Certificate]:
        """The issuers above a certificate, up to a root; Rejected if there is no such path."""
        for issuer in self._issuers(view):
            too_long = issuer.path_length is not None and below > issuer.path_length
            if too_long or below >= DEPTH_MAX or not self._signed(child, issuer):
                continue
            if any(issuer.fingerprint == root.fingerprint for root in self._roots):
                return [issuer]
            try:
                return [issuer, *self._climb(view, issuer, below + 1)]
            except Rejected:
                continue
        raise Rejected("certificate.unknown_issuer", child.fingerprint.hex())

    def _issuers(self, view: DirectoryView) -> Iterator[Certificate]:
        yield from self._roots
        for entry in view.authorities():
            try:
                issuer = self._read(entry.certificate)
            except Rejected:
                continue
            if issuer.may_certify:
                yield issuer

    def _signed(self, child: Certificate, issuer: Certificate) -> bool:
        if child.issuer != issuer.subject or child.fingerprint == issuer.fingerprint:
            return False
        pair = (child.fingerprint, issuer.fingerprint)
        if pair not in self._links:
            try:
                child.parsed.verify_directly_issued_by(issuer.parsed)
                self._links[pair] = True
            except (*UNREADABLE, InvalidSignature):
                self._links[pair] = False
        return self._links[pair]

    def _until(self, view: DirectoryView, child: Certificate, issuer: Certificate) -> int:
        """Until when the issuer's list lets a certificate stand: revoked, or the list no longer fresh."""
        entry = view.revocation_list(issuer.fingerprint.hex())
        if entry is None:
            return 1 << 62 if child.may_certify else -1
        key = (issuer.fingerprint, sha256(entry.crl).digest())
        if key not in self._lists:
            try:
                self._lists[key] = parse_crl(entry.crl, issuer)
            except Unavailable as exc:
                raise Rejected(exc.code, exc.detail) from exc
        listed = self._lists[key]
        revoked = listed.revoked.get(child.serial)
        return listed.fresh_until_ms if revoked is None else min(listed.fresh_until_ms, revoked.revoked_ms - 1)

    def _read(self, der: bytes) -> Certificate:
        fingerprint = sha256(der).digest()
        found = self._parsed.get(fingerprint)
        if found is None:
            found = self._parsed[fingerprint] = parse(der)
        return found
