"""Certificate revocation lists: what an authority took back, and until when its word is fresh.

Guarantees: a list counts only if its issuer signed it and it holds nothing critical that we don't understand
(indirect and delta lists are refused). A list that doesn't count is `Unavailable`: the registrar published it, no
sender can mend it.

Source: RFC 5280 §5 (CRL), §5.3.2 (invalidity date).
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from cryptography import x509

from exchange.errors import Unavailable
from exchange.signatures.certificates import HASHES, UNREADABLE, Certificate, milliseconds


class Revocation(NamedTuple):
    """When a certificate was taken back, and since when its key may have been another's (None: not said)."""

    revoked_ms: int
    invalidity_ms: int | None


@final
class Revocations:
    """A verified list. `fresh_until_ms`: its nextUpdate. `revoked`: by serial number, held ones too."""

    __slots__ = ("fresh_until_ms", "revoked")

    def __init__(self, fresh_until_ms: int, revoked: dict[int, Revocation]) -> None:
        self.fresh_until_ms: Final = fresh_until_ms
        self.revoked: Final = revoked


def parse_crl(der: bytes, issuer: Certificate) -> Revocations:
    """Read and verify a list of `issuer`; cache it, for it costs a signature and some µs an entry.

    Raises: Unavailable ``crl.invalid``: the registrar must publish a right one.
    """
    try:
        parsed = x509.load_der_x509_crl(der)
        # 1. RFC 5280 §6.3.3 (f): the issuer is the certificate's, and may sign lists.
        if parsed.issuer.public_bytes() != issuer.subject or not issuer.may_revoke:
            raise Unavailable("crl.invalid", "its issuer is another one, or may not sign lists")
        # 2. §6.3.3 (g): the signature.
        algorithm = parsed.signature_hash_algorithm
        if algorithm is not None and not isinstance(algorithm, HASHES):
            raise Unavailable("crl.invalid", f"signed with {algorithm.name}")
        if not parsed.is_signature_valid(issuer.public_key):
            raise Unavailable("crl.invalid", "its signature doesn't verify")
        # 3. §5.2: nothing critical that narrows the list, such as a distribution point or a delta.
        for extension in parsed.extensions:
            if extension.critical:
                raise Unavailable("crl.invalid", f"critical extension {extension.oid.dotted_string}")
        # 4. §5.1.2.5: every conforming list says when the next one comes.
        if parsed.next_update_utc is None:
            raise Unavailable("crl.invalid", "no nextUpdate")
        revoked = {entry.serial_number: _revocation(entry) for entry in parsed}
    except UNREADABLE as exc:
        raise Unavailable("crl.invalid", str(exc)) from exc
    return Revocations(milliseconds(parsed.next_update_utc), revoked)


def _revocation(entry: x509.RevokedCertificate) -> Revocation:
    invalidity_ms = None
    for extension in entry.extensions:
        if isinstance(extension.value, x509.InvalidityDate):
            invalidity_ms = milliseconds(extension.value.invalidity_date_utc)
        elif extension.critical:  # §5.3: such as the certificateIssuer of an indirect list
            raise Unavailable("crl.invalid", f"critical entry extension {extension.oid.dotted_string}")
    return Revocation(milliseconds(entry.revocation_date_utc), invalidity_ms)
