"""The directory that an evidence file amounts to: its certificates and lists, as `Trust` asks for them.

Guarantees: nothing here is trusted; `Trust` chains every certificate to the verifier's own root, and checks every
list. What only the registrar's directory can say (that a leader was in office, that the code is the agency's) is the
exchange's word: its acceptance event says that it was so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import date

from cryptography import x509

from exchange.agencies import parse_code
from exchange.agencies.entries import Agency, CertificateEntry, Leader, RevocationList
from exchange.agencies.levels import Level
from exchange.errors import Rejected
from exchange.signatures.certificates import UNREADABLE, Certificate, milliseconds, parse
from exchange.signatures.signers import Role


class Listed:
    """A `View` of the certificates and lists of one evidence file, all DER."""

    def __init__(self, certificates: Sequence[bytes], lists: Sequence[bytes]) -> None:
        """Raises: Rejected ``certificate.malformed``, ``crl.invalid``."""
        self._certificates: dict[bytes, CertificateEntry] = {}
        self._leaders: dict[str, str] = {}
        for der in certificates:
            self._add(der, parse(der))
        authorities = [parse(entry.certificate) for entry in self.authorities()]
        self._lists = _newest(lists, authorities)
        self._list_ms: dict[bytes, int] = {}
        for one in authorities:
            made_ms = self._lists.get(one.fingerprint.hex(), (0,))[0]
            self._list_ms[one.subject] = min(made_ms, self._list_ms.get(one.subject, made_ms))

    def certificate(self, fingerprint: bytes) -> CertificateEntry | None:
        """By SHA-256."""
        return self._certificates.get(fingerprint)

    def authorities(self) -> Iterable[CertificateEntry]:
        """Whatever may certify."""
        return [entry for entry in self._certificates.values() if entry.role == "authority"]

    def revocation_list(self, issuer: str) -> RevocationList | None:
        """The newest list of an issuer: it says more than any older one."""
        return self._lists.get(issuer, (0, None))[1]

    def list_ms_of(self, issuer: bytes) -> int:
        """When the newest list of whoever has this name (DER) was made; 0 without one. Of several, the oldest."""
        return self._list_ms.get(issuer, 0)

    def agency(self, code: str) -> Agency | None:
        """The agency that a certificate's code spells."""
        return Agency(_canonical(code), 1, "", Level.COMMUNE, "", None, (), date.min, None, ())

    def leader(self, leader_id: str) -> Leader | None:
        """The person whom a certificate names."""
        agency = self._leaders.get(leader_id)
        return None if agency is None else Leader(leader_id, 1, agency, "", "", date.min, None)

    def _add(self, der: bytes, found: Certificate) -> None:
        role: Role = "authority" if found.may_certify else "leader" if found.leader is not None else "seal"
        if role == "seal" and found.is_connector:
            role = "connector"
        elif role == "seal" and found.delegate is not None:
            role = "delegate"
        agency = _canonical(found.code or "")
        self._certificates[found.fingerprint] = CertificateEntry(der, 1, role, agency, found.leader)
        if found.leader is not None:
            self._leaders[found.leader] = agency


def _newest(lists: Sequence[bytes], authorities: Sequence[Certificate]) -> dict[str, tuple[int, RevocationList]]:
    """Of each authority the newest list, by what it says itself; its signature is `Trust`'s business."""
    found: dict[str, tuple[int, RevocationList]] = {}
    for der in lists:
        try:
            parsed = x509.load_der_x509_crl(der)
            issuer, made_ms = parsed.issuer.public_bytes(), milliseconds(parsed.last_update_utc)
        except UNREADABLE as exc:
            raise Rejected("crl.invalid", str(exc)) from exc
        for authority in authorities:
            key = authority.fingerprint.hex()
            if authority.subject == issuer and found.get(key, (-1,))[0] < made_ms:
                found[key] = (made_ms, RevocationList(key, 1, der))
    return found


def _canonical(code: str) -> str:
    with contextlib.suppress(Rejected):
        return parse_code(code)
    return code
