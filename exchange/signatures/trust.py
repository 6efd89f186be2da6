"""Which certificate may say what, for whom, at a given append time.

Guarantees: a `Signer` is handed out only while its certificate is listed, chains to a root through the listed
authorities, is within its validity, unrevoked by a fresh list, and names the agency that the directory names.
The same view, roots and time give the same answer, years later too. What the world failed to tell (a list that is
missing or too old) is `Unavailable`, never the sender's fault. Pure; several threads may ask at once.

A `Trust` belongs to one directory offset: make a new one when the directory advances, with the same `TrustCache`.

Source: RFC 5280 §6.1 (paths) and §6.3 (revocation), without policies and name constraints.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import date
from hashlib import sha256
from typing import Final, Protocol, final

from exchange.agencies.entries import Agency, CertificateEntry, Leader, RevocationList
from exchange.errors import Misconfigured, Rejected
from exchange.signatures.bounded import Bounded
from exchange.signatures.certificates import Certificate, is_issued_by, parse
from exchange.signatures.revocation import Revocation, Revocations, parse_crl
from exchange.signatures.signers import NEVER_MS, Signer, Validity
from exchange.statements import Fields

AUTHORITIES_MAX = 3
"""Certificates of authorities in a path, the root included."""

CERTIFICATES_MAX, LISTS_MAX, BATCHES_MAX = 50_000, 64, 4_096

_DAY_MS, _ZONE_MS = 86_400_000, 7 * 3_600_000
_EPOCH = date(1970, 1, 1).toordinal()


class View(Protocol):
    """What trust asks of the directory as of one offset."""

    def certificate(self, fingerprint: bytes) -> CertificateEntry | None:
        """The certificate with this SHA-256."""

    def authorities(self) -> Iterable[CertificateEntry]:
        """Every certificate of the role ``authority``."""

    def revocation_list(self, issuer: str) -> RevocationList | None:
        """The newest list of an authority, by the SHA-256 (hex) of its certificate."""

    def agency(self, code: str) -> Agency | None:
        """The agency with this code, in whatever spelling."""

    def leader(self, leader_id: str) -> Leader | None:
        """The person with this id."""


@final
class TrustCache:
    """What follows from bytes alone, shared by every `Trust` of a process: parsed certificates, verified links
    (child and issuer), verified lists, and batches whose signature has verified."""

    __slots__ = ("batches", "certificates", "links", "lists")

    def __init__(self) -> None:
        self.certificates: Final[Bounded[bytes, Certificate]] = Bounded(CERTIFICATES_MAX)
        self.links: Final[Bounded[tuple[bytes, bytes], bool]] = Bounded(CERTIFICATES_MAX)
        self.lists: Final[Bounded[tuple[bytes, bytes], Revocations]] = Bounded(LISTS_MAX)
        self.batches: Final[Bounded[tuple[str, bytes, bytes, bytes], Fields]] = Bounded(BATCHES_MAX)


@final
class Trust:
    """Trust by one view of the directory. `roots`: DER of the trusted roots, from the settings."""

    def __init__(self, view: View, roots: Sequence[bytes], cache: TrustCache | None = None) -> None:
        """Raises: Misconfigured if a root is not the certificate of an authority."""
        self.view: Final = view
        self.cache: Final = cache if cache is not None else TrustCache()
        self._signers: dict[bytes, Signer] = {}
        self._roots: dict[bytes, Certificate] = {}
        self._issuers: list[Certificate] | None = None
        problems = []
        for number, der in enumerate(roots, 1):
            try:
                root = self._parse(der)
            except Rejected as exc:
                problems.append(f"root {number}: {exc}")
                continue
            if not root.may_certify:
                problems.append(f"root {number} is not the certificate of an authority")
            self._roots[root.fingerprint] = root
        if problems:
            raise Misconfigured(problems)

    def signer(self, fingerprint: bytes, at_ms: int) -> Signer:
        """Whom the certificate speaks for at the broker's append time `at_ms`.

        Raises: Rejected ``certificate.unknown``, ``.malformed``, ``.wrong_usage``, ``.subject_mismatch``,
            ``.unknown_issuer``, ``.not_yet_valid``, ``.expired``, ``.revoked``: the sender must act; Unavailable
            ``crl.stale``, ``crl.invalid``: try again when the directory has a list.
        """
        signer = self._signers.get(fingerprint)
        if signer is None:
            signer = self._signers[fingerprint] = self._resolve(fingerprint)
        if signer.good_from_ms <= at_ms <= signer.good_until_ms:
            return signer
        raise signer.validity.refusal(at_ms, fingerprint.hex())

    def encryption(self, fingerprint: bytes, at_ms: int) -> Signer:
        """Whose certificate may be encrypted to at `at_ms`; it signs nothing. Raises: as `signer`."""
        found = self._resolve(fingerprint, encrypts=True)
        if found.good_from_ms <= at_ms <= found.good_until_ms:
            return found
        raise found.validity.refusal(at_ms, fingerprint.hex())

    def compromised(self, fingerprint: bytes) -> int | None:
        """Since when the key may have been another's (ms), by the issuer's list: what it signed later is suspect.

        None if it isn't revoked, or without an invalidity date.

        Raises: as `signer`, for what doesn't depend on the time.
        """
        entry = self._entry(fingerprint)
        certificate = self._parse(entry.certificate)
        revocation, _ = self._revocation(certificate, self._path(certificate)[0])
        return revocation.invalidity_ms if revocation is not None else None

    def require_listed(self, leader: str | None, agency: str, at_ms: int) -> None:
        """The person is listed under the agency on the day of `at_ms` in Vietnam.

        Raises: Rejected ``signature.leader_not_listed``: the sender must act.
        """
        listed = self.view.leader(leader) if leader is not None else None
        if listed is not None and listed.agency == agency:
            on = date.fromordinal(_EPOCH + (at_ms + _ZONE_MS) // _DAY_MS)
            if listed.valid_from <= on and (listed.valid_to is None or on <= listed.valid_to):
                return
        raise Rejected("signature.leader_not_listed", f"{leader} under {agency}")

    def _resolve(self, fingerprint: bytes, *, encrypts: bool = False) -> Signer:
        """Everything about a certificate that doesn't depend on the time."""
        # 1. The directory lists it.
        entry = self._entry(fingerprint)
        certificate = self._parse(entry.certificate)
        # 2. RFC 5280 §4.2.1.3: it is for signing statements, which an authority's is not; or for being encrypted to.
        fits = certificate.may_encrypt if encrypts else certificate.may_sign
        listed = entry.role == "encryption" if encrypts else entry.role not in {"authority", "encryption"}
        if not fits or certificate.may_certify or not listed:
            raise Rejected("certificate.wrong_usage", fingerprint.hex())
        # 3. Its subject is whom the directory says it is.
        if not self._names(certificate.code, entry.agency) or certificate.leader != entry.leader:
            names = f"{certificate.code}, {certificate.leader}"
            raise Rejected("certificate.subject_mismatch", f"{names}; listed {entry.agency}, {entry.leader}"[:200])
        if certificate.is_connector != (entry.role == "connector"):
            raise Rejected("certificate.subject_mismatch", f"listed as {entry.role}")
        self._check_delegate(certificate, entry)
        # 4. §6.1: a path of verified links leads to a root; 5. §6.3: each issuer's list covers the one below.
        validity, child = Validity(certificate), certificate
        for issuer in self._path(certificate):
            validity.narrow(issuer, *self._revocation(child, issuer))
            child = issuer
        return Signer(entry, certificate, validity)

    def _check_delegate(self, certificate: Certificate, entry: CertificateEntry) -> None:
        """Who holds a delegate's certificate is an agency, another than the one that it signs for."""
        if (certificate.delegate is not None) != (entry.role == "delegate"):
            raise Rejected("certificate.subject_mismatch", f"listed as {entry.role}")
        if certificate.delegate is not None:
            holder = self.view.agency(certificate.delegate)
            if holder is None or holder.code == entry.agency:
                raise Rejected("certificate.subject_mismatch", f"held by {certificate.delegate}"[:100])

    def _entry(self, fingerprint: bytes) -> CertificateEntry:
        entry = self.view.certificate(fingerprint)
        if entry is None:
            raise Rejected("certificate.unknown", fingerprint.hex())
        return entry

    def _names(self, code: str | None, agency: str) -> bool:
        """Whether a subject's code, perhaps an old spelling, is the agency's."""
        if code is None or code == agency:
            return code is not None
        found = self.view.agency(code)
        return found is not None and found.code == agency

    def _path(self, certificate: Certificate) -> list[Certificate]:
        """The issuers of a certificate, nearest first, up to a root; Rejected ``certificate.unknown_issuer``."""
        path = self._climb(certificate, below=0)
        if path is None:
            raise Rejected("certificate.unknown_issuer", certificate.fingerprint.hex())
        return path

    def _climb(self, child: Certificate, below: int) -> list[Certificate] | None:
        """The way up from `child`, with `below` authorities under its issuer; an authority may have several
        certificates, so the first one that leads to a root is taken."""
        if below >= AUTHORITIES_MAX:
            return None
        for issuer in (*self._roots.values(), *self._authorities()):
            # RFC 5280 §6.1.4 (l, m): the path length counts the authorities below.
            if issuer.path_length is not None and below > issuer.path_length:
                continue
            if not self._is_link(child, issuer):
                continue
            if issuer.fingerprint in self._roots:
                return [issuer]
            above = self._climb(issuer, below + 1)
            if above is not None:
                return [issuer, *above]
        return None

    def _is_link(self, child: Certificate, issuer: Certificate) -> bool:
        """RFC 5280 §6.1.3 (a) (1) and (4): name and signature; verified once for each pair."""
        if issuer.subject != child.issuer or issuer.fingerprint == child.fingerprint:
            return False
        link = (child.fingerprint, issuer.fingerprint)
        is_link = self.cache.links.get(link)
        if is_link is None:
            is_link = is_issued_by(child, issuer)
            self.cache.links.put(link, is_link)
        return is_link

    def _authorities(self) -> list[Certificate]:
        """The listed authorities; one that can't be read certifies nobody, and harms nobody else."""
        if self._issuers is None:
            found = []
            for entry in self.view.authorities():
                with contextlib.suppress(Rejected):
                    found.append(self._parse(entry.certificate))
            self._issuers = [one for one in found if one.may_certify]
        return self._issuers

    def _revocation(self, child: Certificate, issuer: Certificate) -> tuple[Revocation | None, int]:
        """What the issuer's list says of `child`, and until when that is fresh (for ever, if none is needed).

        A list is required for whatever signs statements. For an authority's own certificate it counts if there
        is one: a root's list comes once in years, and an authority is withdrawn by the registrar as well.
        """
        entry = self.view.revocation_list(issuer.fingerprint.hex())
        if entry is None:
            return None, NEVER_MS if child.may_certify else -1
        key = (issuer.fingerprint, sha256(entry.crl).digest())
        listed = self.cache.lists.get(key)
        if listed is None:
            listed = parse_crl(entry.crl, issuer)
            self.cache.lists.put(key, listed)
        return listed.revoked.get(child.serial), listed.fresh_until_ms

    def _parse(self, der: bytes) -> Certificate:
        fingerprint = sha256(der).digest()
        certificate = self.cache.certificates.get(fingerprint)
        if certificate is None:
            certificate = parse(der)
            self.cache.certificates.put(fingerprint, certificate)
        return certificate
