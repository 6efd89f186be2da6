"""A time-stamp token: an authority's signed word that a digest existed at a time.

Guarantees: `verify_stamp` returns a `Stamp` only if the token is DER with nothing in it that isn't checked, has one
signer, is about the very digest asked for, is signed by the certificate that it names, and that certificate is for
time-stamping alone and chained, at the stamp's time, to an authority that the caller trusts. SHA-2 only. Any bytes
give a `Stamp` or `Rejected`. Until when a stamp may be relied on is the caller's business: `Stamp.ends_ms`.

Does not: ask anybody whether the authority's certificate was revoked; whoever trusts an authority says until when
(`trust bundle`).

Source: RFC 3161 §2.3, §2.4.2; RFC 5816 (ESSCertIDv2); RFC 5652 §5; RFC 5280 §6 (by ``cryptography``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256, sha384, sha512
from re import ASCII
from re import compile as pattern
from typing import Any, NamedTuple

from asn1crypto import cms, core, tsp
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from exchange.errors import Rejected
from exchange.signatures.certificates import HASHES, UNREADABLE, milliseconds

TOKEN_BYTES_MAX = 64 * 1024
CERTIFICATES_MAX = 8
DEPTH_MAX = 24
PATH_MAX = 4
"""Authorities between a stamp's certificate and the trusted one."""

DIGESTS: dict[str, Callable[[bytes], Any]] = {"sha256": sha256, "sha384": sha384, "sha512": sha512}
"""What a stamp may be over, and be signed with."""

_HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_RSA_BITS = range(2048, 8193)
_TIME = pattern(rb"(\d{14})(?:\.(\d{0,8}[1-9]))?Z", ASCII)
_SET_OF = b"\x31"
_UNREADABLE = (*UNREADABLE, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A verified time-stamp. Times: ms since 1970 UTC, of the authority's clock.

    `ends_ms`: the last moment at which every certificate of its path is valid. `path`: DER, the stamp's own first,
    the trusted one last. `authority`: whose it is, as its certificate says. `nonce`: what the asker sent along.
    """

    time_ms: int
    ends_ms: int
    path: tuple[bytes, ...]
    authority: str
    policy: str
    nonce: int | None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A token taken apart: its one signer's info, what it signs, and the certificates in it."""

    info: Any
    content: bytes
    said: Any
    certificates: tuple[x509.Certificate, ...]


class Claim(NamedTuple):
    """What a token says, unverified: the kind of digest that it is over, and when (ms since 1970 UTC)."""

    digest: str
    time_ms: int


def claim(token: bytes) -> Claim:
    """What a token says, verifying nothing.

    Raises: Rejected ``stamp.malformed``, ``stamp.too_large``, ``stamp.signers``, ``stamp.surplus``,
        ``stamp.algorithm``.
    """
    said = _open(token).said
    try:
        return Claim(_digest(said["message_imprint"]["hash_algorithm"]), _time(said["gen_time"].contents))
    except _UNREADABLE as exc:
        raise Rejected("stamp.malformed", repr(exc)[:200]) from exc


def verify_stamp(token: bytes, digest: bytes, anchors: Sequence[bytes]) -> Stamp:
    """Verify a token over `digest`, which is of the kind that `claim` says. `anchors`: trusted roots, DER.

    Raises: Rejected ``stamp.too_large``, ``stamp.malformed``, ``stamp.signers``, ``stamp.algorithm``,
        ``stamp.attributes``, ``stamp.other_content``, ``stamp.wrong_usage``, ``stamp.unknown_authority``,
        ``stamp.expired`` (before it was made), ``stamp.surplus``, ``stamp.signature``.
    """
    opened = _open(token)
    found, path = _verified(opened, digest, anchors)
    # 8. Nothing is in it that the path doesn't need (nobody would notice its being changed).
    if {_der(one) for one in opened.certificates} != {_der(one) for one in path[:-1]}:
        raise Rejected("stamp.surplus", "certificates that aren't on the way to the trusted one")
    return found


def slimmed(token: bytes, digest: bytes, anchors: Sequence[bytes]) -> bytes:
    """The token with the certificates that its path needs, and no others; Rejected as `verify_stamp`."""
    content = cms.ContentInfo.load(token)
    _, path = _verified(_open(token), digest, anchors)
    wanted = [cms.CertificateChoices("certificate", cms.Certificate.load(_der(one))) for one in path[:-1]]
    content["content"]["certificates"] = cms.CertificateSet(wanted)
    made: bytes = content.dump()
    return made


def _verified(opened: _Opened, digest: bytes, anchors: Sequence[bytes]) -> tuple[Stamp, list[x509.Certificate]]:
    try:
        # 3. RFC 3161 §2.4.2: it is about this digest.
        said = opened.said
        imprint = said["message_imprint"]
        _digest(imprint["hash_algorithm"])
        if imprint["hashed_message"].native != digest:
            raise Rejected("stamp.other_content", "it is about another digest")
        time_ms = _time(said["gen_time"].contents)
        # 4. The signed attributes name this content and the signer's certificate.
        signer = _signer(opened)
        signed = _attributes(opened, signer)
        # 5. The certificate is for time-stamping alone.
        _check_usage(signer)
        # 6. It leads to a trusted one, all valid at the stamp's time.
        path = _path(signer, opened.certificates, anchors, time_ms)
        # 7. Its key made the signature.
        _check_signature(opened.info, signer, signed)
    except _UNREADABLE as exc:
        raise Rejected("stamp.malformed", repr(exc)[:200]) from exc
    ends_ms = min(milliseconds(one.not_valid_after_utc) + 999 for one in path)
    nonce: int | None = said["nonce"].native
    name = signer.subject.rfc4514_string()[:200]
    return Stamp(time_ms, ends_ms, tuple(map(_der, path)), name, said["policy"].native, nonce), path


def _open(token: bytes) -> _Opened:
    """Steps 1 and 2: DER within the limits; one signer's word about a TSTInfo (RFC 3161 §2.4.2, RFC 5652 §5.1)."""
    if len(token) > TOKEN_BYTES_MAX:
        raise Rejected("stamp.too_large", f"{len(token)} > {TOKEN_BYTES_MAX} bytes")
    _check_der(token, 0, len(token), 0)
    try:
        content = cms.ContentInfo.load(token, strict=True)
        if content["content_type"].native != "signed_data":
            raise Rejected("stamp.malformed", f"a {content['content_type'].native}"[:80])
        signed = content["content"]
        encapsulated = signed["encap_content_info"]
        if encapsulated["content_type"].native != "tst_info":
            raise Rejected("stamp.malformed", f"it signs a {encapsulated['content_type'].native}"[:80])
        infos, held = signed["signer_infos"], signed["certificates"]
        if len(infos) != 1:
            raise Rejected("stamp.signers", f"{len(infos)} signers, not 1")
        info = infos[0]
        data = bytes(encapsulated["content"])
        said = tsp.TSTInfo.load(data, strict=True)
        if len(held) > CERTIFICATES_MAX:
            raise Rejected("stamp.too_large", f"{len(held)} certificates")
        if any(one.chosen.serial_number <= 0 for one in held):  # RFC 5280 §4.1.2.2
            raise Rejected("stamp.malformed", "a certificate's serial number")
        certificates = tuple(x509.load_der_x509_certificate(one.chosen.dump()) for one in held)
        _check_form(signed, info, said)
    except _UNREADABLE as exc:
        raise Rejected("stamp.malformed", repr(exc)[:200]) from exc
    return _Opened(info, data, said, certificates)


def _check_der(data: bytes, at: int, end: int, depth: int) -> None:
    """X.690 §10.1: definite lengths, each in its shortest form, nested within reason."""
    while at < end:
        if depth > DEPTH_MAX or at + 2 > end or data[at] & 0x1F == 0x1F:
            raise Rejected("stamp.malformed", "nested too deep, cut off, or a tag of several bytes")
        is_constructed, size, start = data[at] & 0x20, data[at + 1], at + 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[at + 2 : start], "big")
            if start > end or size < 0x80 or data[at + 2] == 0:
                raise Rejected("stamp.malformed", "not DER")
        at = start + size
        if at > end:
            raise Rejected("stamp.malformed", "cut off")
        if is_constructed:
            _check_der(data, start, at, depth + 1)


def _check_form(signed: Any, info: Any, said: Any) -> None:  # noqa: ANN401  asn1crypto is untyped
    """Whatever the signature doesn't cover has the one form that it can have."""
    versions = (signed["version"].native, info["version"].native, said["version"].native)
    if versions != ("v3", "v1", "v1") or info["sid"].name != "issuer_and_serial_number":
        raise Rejected("stamp.malformed", f"versions {versions}, signer named by {info['sid'].name}"[:200])
    if not isinstance(signed["crls"], core.Void) or not isinstance(info["unsigned_attrs"], core.Void):
        raise Rejected("stamp.surplus", "lists or attributes that nobody signed")
    if [one.dump() for one in signed["digest_algorithms"]] != [info["digest_algorithm"].dump()]:
        raise Rejected("stamp.algorithm", "the digest algorithms aren't the signer's")
    held = [one.dump() for one in signed["certificates"]]
    if held != sorted(held):
        raise Rejected("stamp.malformed", "not DER")
    if len(said["extensions"]):
        raise Rejected("stamp.malformed", "extensions of the stamp, which nobody here understands")


def _signer(opened: _Opened) -> x509.Certificate:
    """The certificate that the signer's info names (RFC 5652 §5.3)."""
    named = opened.info["sid"].chosen
    issuer, serial = named["issuer"].dump(), named["serial_number"].native
    found = [one for one in opened.certificates if (one.issuer.public_bytes(), one.serial_number) == (issuer, serial)]
    if len(found) != 1:
        raise Rejected("stamp.malformed", f"{len(found)} certificates are the signer's, not 1")
    return found[0]


def _attributes(opened: _Opened, signer: x509.Certificate) -> bytes:
    """Check the signed attributes (RFC 5652 §11, RFC 5816 §2.2); returns the bytes that are signed (§5.4)."""
    held: dict[str, Any] = {}
    attributes = opened.info["signed_attrs"]
    for attribute in attributes:
        name = attribute["type"].native
        if name in held or len(attribute["values"]) != 1:
            raise Rejected("stamp.attributes", f"{name}, more than once"[:80])
        held[name] = attribute["values"][0]
    missing = {"content_type", "message_digest", "signing_certificate_v2"} - held.keys()
    if missing:
        raise Rejected("stamp.attributes", f"without {', '.join(sorted(missing))}")
    if held["content_type"].native != "tst_info":
        raise Rejected("stamp.attributes", "contentType is another")
    if held["message_digest"].native != DIGESTS[_digest(opened.info["digest_algorithm"])](opened.content).digest():
        raise Rejected("stamp.signature", "messageDigest is another content's")
    first = held["signing_certificate_v2"]["certs"][0]
    if first["cert_hash"].native != DIGESTS[_digest(first["hash_algorithm"])](_der(signer)).digest():
        raise Rejected("stamp.attributes", "signingCertificateV2 is another certificate's")
    return _SET_OF + bytes(attributes.dump())[1:]


def _check_usage(signer: x509.Certificate) -> None:
    """RFC 3161 §2.3: extended key usage, critical, timeStamping and nothing else; no authority."""
    by_type = {type(one.value): one for one in signer.extensions}
    extended, usage = by_type.get(x509.ExtendedKeyUsage), by_type.get(x509.KeyUsage)
    if extended is None or not extended.critical or list(extended.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise Rejected("stamp.wrong_usage", "its certificate isn't for time-stamping alone")
    may_sign = usage is None or usage.value.digital_signature or usage.value.content_commitment
    constraints = by_type.get(x509.BasicConstraints)
    if not may_sign or (constraints is not None and constraints.value.ca):
        raise Rejected("stamp.wrong_usage", "its certificate isn't for signing")


def _path(
    signer: x509.Certificate, others: Iterable[x509.Certificate], anchors: Sequence[bytes], at_ms: int
) -> list[x509.Certificate]:
    """From the signer's certificate to a trusted one, all valid at `at_ms` (RFC 5280 §6, by ``cryptography``)."""
    if not signer.not_valid_before_utc.timestamp() * 1000 <= at_ms <= milliseconds(signer.not_valid_after_utc) + 999:
        raise Rejected("stamp.expired", f"made at {at_ms} ms, when its certificate wasn't valid")
    roots = [x509.load_der_x509_certificate(der) for der in anchors]
    if not roots:
        raise Rejected("stamp.unknown_authority", "no time-stamping authority is trusted")
    authority = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    authority = authority.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_certifying)
    verifier = (
        PolicyBuilder()
        .store(Store(roots))
        .time(datetime.fromtimestamp(at_ms / 1000, UTC))
        .max_chain_depth(PATH_MAX)
        .extension_policies(ca_policy=authority, ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        path = verifier.verify(signer, [one for one in others if one != signer]).chain
    except VerificationError as exc:
        raise Rejected("stamp.unknown_authority", f"{signer.issuer.rfc4514_string()}: {exc}"[:300]) from exc
    for one in path:
        algorithm = one.signature_hash_algorithm
        if algorithm is not None and not isinstance(algorithm, HASHES):
            raise Rejected("stamp.algorithm", f"a certificate signed with {algorithm.name}")
    return path


def _require_certifying(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an authority that may not certify")


def _check_signature(info: Any, signer: x509.Certificate, signed: bytes) -> None:  # noqa: ANN401
    """RFC 5652 §5.6, by the algorithm that is named and a key that fits it."""
    named, key, value = info["signature_algorithm"], signer.public_key(), info["signature"].native
    digest = _digest(info["digest_algorithm"])
    algorithm = named.signature_algo
    plain = named["algorithm"].native in {"rsassa_pkcs1v15", "ed25519"}  # these name no digest
    if algorithm != "rsassa_pss" and named["parameters"].dump() not in {b"", b"\x05\x00"}:
        raise Rejected("stamp.algorithm", f"{algorithm} with parameters")
    if not plain and named.hash_algo != digest:
        raise Rejected("stamp.algorithm", f"{named.hash_algo} in the signature, {digest} of the attributes")
    try:
        match (algorithm, key):
            case ("rsassa_pkcs1v15", rsa.RSAPublicKey()) if key.key_size in _RSA_BITS:
                key.verify(value, signed, padding.PKCS1v15(), _HASHES[digest]())
            case ("rsassa_pss", rsa.RSAPublicKey()) if key.key_size in _RSA_BITS:
                key.verify(value, signed, _pss(named["parameters"], digest), _HASHES[digest]())
            case ("ecdsa", ec.EllipticCurvePublicKey()) if isinstance(key.curve, _CURVES):
                key.verify(value, signed, ec.ECDSA(_HASHES[digest]()))
            case ("ed25519", ed25519.Ed25519PublicKey()):
                key.verify(value, signed)
            case _:
                raise Rejected("stamp.algorithm", f"{algorithm} with a {type(key).__name__}"[:120])
    except InvalidSignature as exc:
        raise Rejected("stamp.signature", algorithm) from exc


def _pss(parameters: Any, digest: str) -> padding.PSS:  # noqa: ANN401
    """RFC 4056, with the one digest throughout and a salt as long as it."""
    mask, salt = parameters["mask_gen_algorithm"], _HASHES[digest]().digest_size
    named = (mask["algorithm"].native, mask["parameters"]["algorithm"].native, parameters["salt_length"].native)
    if named != ("mgf1", digest, salt) or parameters["trailer_field"].native != "trailer_field_bc":
        raise Rejected("stamp.algorithm", f"RSA-PSS with {named}")
    return padding.PSS(padding.MGF1(_HASHES[digest]()), salt)


def _digest(algorithm: Any) -> str:  # noqa: ANN401
    """The name of a digest algorithm of SHA-2, without parameters."""
    name = str(algorithm["algorithm"].native)
    if name not in DIGESTS or algorithm["parameters"].native is not None:
        raise Rejected("stamp.algorithm", f"digest {name}"[:80])
    return name


def _time(contents: bytes) -> int:
    """RFC 3161 §2.4.2: GeneralizedTime in UTC, the fraction without trailing zeros; cut to milliseconds."""
    found = _TIME.fullmatch(contents)
    if found is None:
        raise Rejected("stamp.malformed", "genTime")
    seconds = datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return int(seconds.timestamp()) * 1000 + int((found[2] or b"").ljust(3, b"0")[:3])


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
