"""The profile of an X.509 certificate: what the exchange reads of one, and nothing else.

Guarantees: any bytes become a `Certificate` within the profile or `Rejected`; a critical extension that we don't
understand refuses the certificate. Verifies no signature and no date: `trust` does.

Source: RFC 5280 §4; organizationIdentifier (2.5.4.97, ETSI EN 319 412-1 §5.1.4) holds the agency's code,
serialNumber (2.5.4.5) the directory id of a leader. Two organizationalUnitNames are ours: ``connector``, the seal is
that of the agency's connector, which signs by itself; ``delegate:<code>``, it is held by that other agency, which signs
for this one as long as the certificate is valid.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Final, final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, NameOID

from exchange.errors import Rejected
from exchange.signatures.algorithms import PublicKey, natural

CERTIFICATE_BYTES_MAX = 16 * 1024

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for bytes that are no certificate or list."""

HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
"""An authority may sign with; Ed25519 has none of its own."""

CONNECTOR_UNIT = "connector"
DELEGATE_UNIT = "delegate:"
"""And the code of who holds it."""

_UNDERSTOOD = {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE}


@final
class Certificate:
    """A parsed certificate. Clock: milliseconds since 1970 UTC, both ends of validity inclusive.

    `fingerprint`: SHA-256 of the DER. `code`: the subject's agency code as written there, None if it has none.
    `leader`: the subject's serialNumber. `is_connector`: a unit of the subject's says so. `delegate`:
    code of the other agency that holds it, None if it is the subject's own. `may_sign`:
    digitalSignature or contentCommitment. `may_encrypt`: keyAgreement, or for RSA keyEncipherment: others may
    encrypt to it. `may_certify`: a CA with keyCertSign. `path_length`: of a CA, None if unbounded. `issuer`, `subject`:
    DER of the names.
    """

    __slots__ = (
        "code",
        "delegate",
        "fingerprint",
        "is_connector",
        "issuer",
        "leader",
        "may_certify",
        "may_encrypt",
        "may_revoke",
        "may_sign",
        "not_after_ms",
        "not_before_ms",
        "parsed",
        "path_length",
        "public_key",
        "serial",
        "subject",
    )

    def __init__(self, der: bytes, parsed: x509.Certificate, public_key: PublicKey) -> None:
        constraints, usage = _constraints(parsed), _usage(parsed)
        is_authority = constraints is not None and constraints.ca
        self.fingerprint: Final = sha256(der).digest()
        self.parsed: Final = parsed
        self.public_key: Final = public_key
        self.code: Final = _attribute(parsed.subject, NameOID.ORGANIZATION_IDENTIFIER)
        self.leader: Final = _attribute(parsed.subject, NameOID.SERIAL_NUMBER)
        self.is_connector: Final = any(
            one.value == CONNECTOR_UNIT
            for one in parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        )
        self.delegate: Final = _delegate(parsed.subject)
        self.not_before_ms: Final = milliseconds(parsed.not_valid_before_utc)
        self.not_after_ms: Final = milliseconds(parsed.not_valid_after_utc) + 999
        self.may_sign: Final = usage is not None and (usage.digital_signature or usage.content_commitment)
        agrees = isinstance(public_key, ec.EllipticCurvePublicKey)
        self.may_encrypt: Final = usage is not None and (usage.key_agreement if agrees else usage.key_encipherment)
        self.may_certify: Final = is_authority and usage is not None and usage.key_cert_sign
        self.may_revoke: Final = is_authority and usage is not None and usage.crl_sign
        self.path_length: Final = constraints.path_length if constraints is not None else None
        self.issuer: Final = parsed.issuer.public_bytes()
        self.subject: Final = parsed.subject.public_bytes()
        self.serial: Final = parsed.serial_number


def parse(der: bytes) -> Certificate:
    """Read a certificate; cache it by its fingerprint, for it costs some 50 µs.

    Raises: Rejected ``certificate.malformed``: it isn't DER, outside the profile, or its key is too weak.
    """
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise Rejected("certificate.malformed", f"{len(der)} > {CERTIFICATE_BYTES_MAX} bytes")
    try:
        parsed = x509.load_der_x509_certificate(der)
        public_key = _key(parsed)
        _check_profile(parsed)
        return Certificate(der, parsed, public_key)
    except UNREADABLE as exc:
        raise Rejected("certificate.malformed", str(exc)) from exc


def is_issued_by(child: Certificate, issuer: Certificate) -> bool:
    """Tell whether the issuer's name and key are those that `child` was signed with (RFC 5280 §6.1.3 a).

    The one question here that is answered and not enforced: of several authorities of one name, it finds the one.
    """
    if child.issuer != issuer.subject or not issuer.may_certify:
        return False
    try:
        child.parsed.verify_directly_issued_by(issuer.parsed)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def milliseconds(moment: datetime) -> int:
    """A whole second of a certificate or CRL, as the exchange counts time."""
    return int(moment.timestamp()) * 1000


def _key(parsed: x509.Certificate) -> PublicKey:
    """The public key, of a kind and strength that some algorithm of ours is for."""
    key = parsed.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise Rejected("certificate.malformed", f"its key is a {type(key).__name__}")
    try:
        natural(key)
    except Rejected as exc:
        raise Rejected("certificate.malformed", exc.detail) from exc
    return key


def _check_profile(parsed: x509.Certificate) -> None:
    if parsed.version is not x509.Version.v3:
        raise Rejected("certificate.malformed", "not version 3")
    for extension in parsed.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise Rejected("certificate.malformed", f"critical extension {extension.oid.dotted_string}")
    algorithm = parsed.signature_hash_algorithm
    if algorithm is not None and not isinstance(algorithm, HASHES):
        raise Rejected("certificate.malformed", f"signed with {algorithm.name}")


def _constraints(parsed: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return parsed.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def _usage(parsed: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return parsed.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _delegate(name: x509.Name) -> str | None:
    units = [str(one.value) for one in name.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
    held = [unit.removeprefix(DELEGATE_UNIT) for unit in units if unit.startswith(DELEGATE_UNIT)]
    if len(held) > 1 or (held and CONNECTOR_UNIT in units):
        raise Rejected("certificate.malformed", f"held by {units}"[:200])
    return held[0] if held else None


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str | None:
    """The one value of an attribute; two of them would leave it open which one counts."""
    values = name.get_attributes_for_oid(oid)
    if len(values) > 1:
        raise Rejected("certificate.malformed", f"{len(values)} × {oid.dotted_string} in a name")
    value = values[0].value if values else None
    if isinstance(value, bytes):
        raise Rejected("certificate.malformed", f"{oid.dotted_string} is not text")
    return value
