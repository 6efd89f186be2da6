"""A signer: a certificate's word for an agency, and the bounds in time within which it counts.

Guarantees: nothing but comparisons of numbers, so asking again costs well under a microsecond. Whether a
certificate deserves to become a `Signer` is decided in `trust`.

Source: RFC 5280 §6.1.3 (a) (2) and (3): validity and revocation of each certificate of a path.
"""

from __future__ import annotations

from typing import Final, Literal, final

from exchange.agencies.entries import CertificateEntry
from exchange.errors import Rejected, Unavailable
from exchange.signatures.algorithms import PublicKey
from exchange.signatures.certificates import Certificate
from exchange.signatures.revocation import Revocation

Role = Literal["authority", "seal", "connector", "delegate", "leader", "backbone", "encryption"]
SEALS: tuple[Role, Role] = ("seal", "connector")
"""The roles that are the agency itself: it signs, and is let in, by them; by which, a reader may tell apart."""

SPEAKERS: tuple[Role, ...] = (*SEALS, "delegate")
"""The roles whose seal stands for the agency's: its own, and an agency's that it let sign for it."""

NEVER_MS = 1 << 62
"""Later than any time."""


@final
class Validity:
    """The narrowest bounds of a whole path; a moment is good if it is within all of them."""

    __slots__ = ("fresh_until_ms", "not_after_ms", "not_before_ms", "revoked_ms")

    def __init__(self, certificate: Certificate) -> None:
        self.not_before_ms = certificate.not_before_ms
        self.not_after_ms = certificate.not_after_ms
        self.revoked_ms = NEVER_MS
        self.fresh_until_ms = NEVER_MS

    def narrow(self, issuer: Certificate, revocation: Revocation | None, fresh_until_ms: int) -> None:
        """Add an issuer of the path, and what its list says of the one below it."""
        self.not_before_ms = max(self.not_before_ms, issuer.not_before_ms)
        self.not_after_ms = min(self.not_after_ms, issuer.not_after_ms)
        self.fresh_until_ms = min(self.fresh_until_ms, fresh_until_ms)
        if revocation is not None:
            self.revoked_ms = min(self.revoked_ms, revocation.revoked_ms)

    def refusal(self, at_ms: int, name: str) -> Rejected | Unavailable:
        """Which bound the moment is outside of; what a list, even an old one, says of a thief comes first."""
        if at_ms < self.not_before_ms:
            return Rejected("certificate.not_yet_valid", name)
        if at_ms > self.not_after_ms:
            return Rejected("certificate.expired", name)
        if at_ms >= self.revoked_ms:
            return Rejected("certificate.revoked", name)
        return Unavailable("crl.stale", f"no list of {name}'s issuer is fresh at {at_ms}")


@final
class Signer:
    """A certificate that is trusted for a while, and whose word it carries. Made by `Trust` only.

    `leader`: the directory id of the person if `role` is ``leader``.
    """

    __slots__ = ("agency", "certificate", "good_from_ms", "good_until_ms", "leader", "public_key", "role", "validity")

    def __init__(self, entry: CertificateEntry, certificate: Certificate, validity: Validity) -> None:
        self.agency: Final = entry.agency
        self.role: Final[Role] = entry.role
        self.leader: Final = entry.leader
        self.certificate: Final = certificate
        self.public_key: Final[PublicKey] = certificate.public_key
        self.validity: Final = validity
        self.good_from_ms: Final = validity.not_before_ms
        self.good_until_ms: Final = min(validity.not_after_ms, validity.revoked_ms - 1, validity.fresh_until_ms)
