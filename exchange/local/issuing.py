"""Building certificates and revocation lists for the demo authority: pure, given keys and times.

Guarantees: what is built here fits the profile that `exchange.signatures.certificates` reads; hostile variants
are made by naming another usage or validity. Serial numbers are random (159 bits).

Source: RFC 5280; organizationIdentifier holds the agency's code, serialNumber a leader's directory id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from exchange.signatures import PrivateKey, PublicKey, SigningKey

KeyKind = Literal["p256", "rsa2048", "ed25519"]
Usage = Literal["sign", "certify", "stamp", "encrypt", "everything"]
"""What a key may do: digitalSignature and contentCommitment, keyCertSign and cRLSign, time-stamping alone (RFC 3161
§2.3), being encrypted to (keyAgreement, or for RSA keyEncipherment); ``everything`` is for hostile tests."""

COUNTRY = "VN"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate (DER), its private key, and whose they are; `delegate`: who holds them, if not `agency`."""

    certificate: bytes
    private_key: PrivateKey = field(repr=False)
    agency: str
    leader: str | None
    is_connector: bool = False
    delegate: str | None = None

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate, by which records and the directory name it."""
        return sha256(self.certificate).digest()

    @property
    def signing_key(self) -> SigningKey:
        """What `sign_record` and `sign_batch` take."""
        return SigningKey(self.private_key, self.fingerprint)


class Revoked(NamedTuple):
    """An entry of a list; clocks in ms since 1970 UTC. `invalidity_ms`: since when the key may be another's."""

    serial: int
    at_ms: int
    invalidity_ms: int | None
    reason: str


class Issuer(NamedTuple):
    """Who signs: name and key; `path_length` of what it may certify, None where that is no authority."""

    name: x509.Name
    private_key: PrivateKey


def _short(name: str) -> str:
    """A common name has at most 64 bytes (RFC 5280, ub-common-name, as the library counts)."""
    return name.encode()[:64].decode(errors="ignore")


def new_key(kind: KeyKind) -> PrivateKey:
    """A fresh private key."""
    if kind == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def subject(name: str, code: str | None = None, leader: str | None = None, unit: str | None = None) -> x509.Name:
    """A subject's name. X.520 allows 64 characters of a common name; longer ones are cut."""
    attributes = [x509.NameAttribute(NameOID.COUNTRY_NAME, COUNTRY)]
    if code is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, code))
    if leader is not None:
        attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, leader))
    if unit is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, _short(name)))
    return x509.Name(attributes)


def build(
    issuer: Issuer,
    name: x509.Name,
    public_key: PublicKey,
    validity_ms: tuple[int, int],
    usage: Usage = "sign",
    path_length: int | None = None,
) -> bytes:
    """A certificate, DER. `validity_ms`: first and last millisecond, cut to whole seconds."""
    first, last = validity_ms
    builder = x509.CertificateBuilder(
        issuer_name=issuer.name,
        subject_name=name,
        public_key=public_key,
        serial_number=x509.random_serial_number(),
        not_valid_before=moment(first),
        not_valid_after=moment(last),
    )
    is_authority = usage in {"certify", "everything"}
    constraints = x509.BasicConstraints(ca=is_authority, path_length=path_length if is_authority else None)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private_key.public_key())
    builder = (
        builder.add_extension(constraints, critical=True)
        .add_extension(_key_usage(usage, public_key), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(above, critical=False)
    )
    if usage == "stamp":
        only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(only, critical=True)
    signed = builder.sign(issuer.private_key, _hash_for(issuer.private_key))
    return signed.public_bytes(serialization.Encoding.DER)


def build_crl(issuer: Issuer, revoked: Iterable[Revoked], now_ms: int, next_update_ms: int) -> bytes:
    """A full list, DER; its number is the time that it was issued at."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.name)
        .last_update(moment(now_ms))
        .next_update(moment(next_update_ms))
        .add_extension(x509.CRLNumber(now_ms), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private_key.public_key()), critical=False
        )
    )
    for entry in revoked:
        built = (
            x509.RevokedCertificateBuilder()
            .serial_number(entry.serial)
            .revocation_date(moment(entry.at_ms))
            .add_extension(x509.CRLReason(x509.ReasonFlags(entry.reason)), critical=False)
        )
        if entry.invalidity_ms is not None:
            built = built.add_extension(x509.InvalidityDate(moment(entry.invalidity_ms)), critical=False)
        builder = builder.add_revoked_certificate(built.build())
    signed = builder.sign(issuer.private_key, _hash_for(issuer.private_key))
    return signed.public_bytes(serialization.Encoding.DER)


def moment(at_ms: int) -> datetime:
    """A time as X.509 writes it: whole seconds."""
    return _EPOCH + timedelta(seconds=at_ms // 1000)


def _hash_for(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _key_usage(usage: Usage, public_key: PublicKey) -> x509.KeyUsage:
    agrees = isinstance(public_key, ec.EllipticCurvePublicKey)
    certifies, encrypts = (usage in {one, "everything"} for one in ("certify", "encrypt"))
    signs = usage in {"sign", "stamp", "everything"}
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=signs,
        key_encipherment=encrypts and not agrees,
        data_encipherment=False,
        key_agreement=encrypts and agrees,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
    )
