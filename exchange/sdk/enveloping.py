"""Encrypting to recipients' certificates: CMS AuthEnvelopedData, as a stream in and out, memory independent of size.

Guarantees: only the holder of a private key of one of the named certificates reads it; what was changed, cut or
extended doesn't open to its end. AES-256-GCM under a fresh key for each content; that key is wrapped for each recipient
by ECDH on P-256 (X9.63 KDF with SHA-256, AES-256 key wrap, a fresh key pair each) or RSAES-OAEP with SHA-256. DER of
definite lengths, so a content needs one pass, its size known before; ``openssl cms -decrypt`` (3.0) opens it.
Does not: hide the size, or who may read it; say who wrote it (the document's signature does). What `decrypted` yields
is authentic only once it ended without an error: keep it aside until then.

Source: RFC 5083, RFC 5084 §3.2 (GCM), RFC 5753 §3.1 and §7.2 (ECDH), RFC 3565 §2.3 (key wrap), RFC 4056 §3 and RFC
3560 (OAEP); NIST SP 800-38D (at most 64 GiB under one nonce).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from asn1crypto import cms, core
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from exchange.errors import Rejected

CHUNK_BYTES = 1024 * 1024
CONTENT_BYTES_MAX = 4 * 1024**3
RECIPIENTS_BYTES_MAX = 1024 * 1024
"""Of the wrapped keys of all recipients; 256 with four certificates each take less than half."""

_KEY_BYTES, _NONCE_BYTES, _TAG_BYTES = 32, 12, 16
_HEADER_BYTES_MAX = 256

_AUTH_ENVELOPED_DATA, _DATA = "1.2.840.113549.1.9.16.1.23", "1.2.840.113549.1.7.1"
_AES_256_GCM = "2.16.840.1.101.3.4.1.46"
_ECDH_SHA256, _EC_PUBLIC_KEY = "1.3.132.1.11.1", "1.2.840.10045.2.1"
_RSAES_OAEP, _MGF1, _SHA256 = "1.2.840.113549.1.1.7", "1.2.840.113549.1.1.8", "2.16.840.1.101.3.4.2.1"
_WRAPS = {"2.16.840.1.101.3.4.1.5": 16, "2.16.840.1.101.3.4.1.45": 32}
"""AES key wrap: bytes of the wrapping key."""
_AES_256_WRAP = "2.16.840.1.101.3.4.1.45"

_INTEGER, _BITS, _OCTETS, _OID, _SEQUENCE, _SET = 0x02, 0x03, 0x04, 0x06, 0x30, 0x31
_CONTENT = 0x80
"""encryptedContent: [0] IMPLICIT OCTET STRING."""

# What asn1crypto and cryptography let through of hostile bytes.
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError)

ReaderKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class DecryptionKey:
    """A private key and the certificate that others encrypt to. A recipient keeps old ones for old documents."""

    certificate: x509.Certificate
    private_key: ReaderKey = field(repr=False)


def encrypted(chunks: Iterable[bytes], size: int, readers: Sequence[x509.Certificate]) -> Iterator[bytes]:
    """The DER of a content of `size` bytes for these certificates, piece by piece.

    Raises: Rejected ``encryption.no_reader``, ``encryption.key`` (a certificate's key can't be encrypted to: P-256 or
        RSA of 2048 bits and more can), ``encryption.too_large``, ``encryption.size`` (`chunks` were more or less).
    """
    if not readers:
        raise Rejected("encryption.no_reader", "encrypted to nobody")
    if not 0 <= size <= CONTENT_BYTES_MAX:
        raise Rejected("encryption.too_large", f"{size} > {CONTENT_BYTES_MAX} bytes")
    key, nonce = os.urandom(_KEY_BYTES), os.urandom(_NONCE_BYTES)
    infos = _tlv(_SET, *sorted(_wrapped(key, reader) for reader in readers))
    parameters = _tlv(_SEQUENCE, _tlv(_OCTETS, nonce), _tlv(_INTEGER, bytes([_TAG_BYTES])))
    head = _oid(_DATA) + _tlv(_SEQUENCE, _oid(_AES_256_GCM), parameters) + _head(_CONTENT, size)
    head = _head(_SEQUENCE, len(head) + size) + head
    head = _tlv(_INTEGER, b"\0") + infos + head
    after = len(_head(_OCTETS, _TAG_BYTES)) + _TAG_BYTES
    head = _head(_SEQUENCE, len(head) + size + after) + head
    head = _oid(_AUTH_ENVELOPED_DATA) + _head(0xA0, len(head) + size + after) + head
    yield _head(_SEQUENCE, len(head) + size + after) + head
    cipher, seen = Cipher(algorithms.AES256(key), modes.GCM(nonce)).encryptor(), 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > size:
            break
        yield cipher.update(chunk)
    if seen != size:
        raise Rejected("encryption.size", f"{seen} bytes, {size} were announced")
    yield cipher.finalize() + _tlv(_OCTETS, cipher.tag)


def decrypted(chunks: Iterable[bytes], keys: Sequence[DecryptionKey]) -> Iterator[bytes]:
    """What was encrypted to one of these keys. Nothing of it may be believed before this ends without an error.

    Raises: Rejected ``encryption.not_for_us``, ``encryption.malformed``, ``encryption.profile`` (other algorithms or
        parts than ours), ``encryption.damaged``: changed, cut or extended.
    """
    source = _Source(chunks)
    # 1. ContentInfo and AuthEnvelopedData, version 0, without originatorInfo (RFC 5083 §2.1).
    source.head(_SEQUENCE)
    if source.element(_OID, _HEADER_BYTES_MAX) != _oid(_AUTH_ENVELOPED_DATA)[2:]:
        raise Rejected("encryption.profile", "not an AuthEnvelopedData")
    source.head(0xA0)
    source.head(_SEQUENCE)
    if source.element(_INTEGER, 1) != b"\0":
        raise Rejected("encryption.profile", "another version")
    # 2. One of the recipients is us.
    key = _unwrapped(source.element(_SET, RECIPIENTS_BYTES_MAX), keys)
    # 3. AES-256-GCM with a 12-byte nonce and a 16-byte tag.
    source.head(_SEQUENCE)
    source.element(_OID, _HEADER_BYTES_MAX)
    cipher = _cipher(source.element(_SEQUENCE, _HEADER_BYTES_MAX), key)
    # 4. The content, then the tag, then nothing: authenticated attributes would need to be authenticated too.
    left = source.head(_CONTENT)
    if left > CONTENT_BYTES_MAX:
        raise Rejected("encryption.too_large", f"{left} > {CONTENT_BYTES_MAX} bytes")
    while left:
        chunk = source.some(min(left, CHUNK_BYTES))
        left -= len(chunk)
        yield cipher.update(chunk)
    tag = source.element(_OCTETS, _TAG_BYTES)
    if not source.is_over:
        raise Rejected("encryption.profile", "bytes after the tag")
    try:
        cipher.finalize_with_tag(tag)
    except (InvalidTag, ValueError) as exc:
        raise Rejected("encryption.damaged", "the tag doesn't fit") from exc


def check_reader(certificate: x509.Certificate) -> None:
    """Raises: Rejected ``encryption.key`` if this certificate's key can't be encrypted to."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        raise Rejected("encryption.key", f"{type(key).__name__} of {certificate.subject.rfc4514_string()}"[:200])


def _wrapped(content_key: bytes, reader: x509.Certificate) -> bytes:
    """The RecipientInfo of one certificate, DER."""
    check_reader(reader)
    public_key = reader.public_key()
    name = _tlv(_SEQUENCE, reader.issuer.public_bytes(), core.Integer(reader.serial_number).dump())
    if isinstance(public_key, rsa.RSAPublicKey):
        wrapped = public_key.encrypt(content_key, _OAEP)
        sha256 = _tlv(_SEQUENCE, _oid(_SHA256))
        mask = _tlv(_SEQUENCE, _oid(_MGF1), sha256)
        oaep = _tlv(_SEQUENCE, _oid(_RSAES_OAEP), _tlv(_SEQUENCE, _tlv(0xA0, sha256), _tlv(0xA1, mask)))
        return _tlv(_SEQUENCE, _tlv(_INTEGER, b"\0"), name, oaep, _tlv(_OCTETS, wrapped))
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    wrap = _tlv(_SEQUENCE, _oid(_AES_256_WRAP))
    key = _agreed(ephemeral, public_key, wrap, 32, None)  # type: ignore[arg-type]  # checked by check_reader
    originator = _tlv(0xA1, _tlv(_SEQUENCE, _oid(_EC_PUBLIC_KEY)), _tlv(_BITS, b"\0" + point))
    scheme = _tlv(_SEQUENCE, _oid(_ECDH_SHA256), wrap)
    theirs = _tlv(_SEQUENCE, _tlv(_SEQUENCE, name, _tlv(_OCTETS, aes_key_wrap(key, content_key))))
    return _tlv(0xA1, _tlv(_INTEGER, b"\3"), _tlv(0xA0, originator), scheme, theirs)


def _unwrapped(infos: bytes, keys: Sequence[DecryptionKey]) -> bytes:
    """The content's key from the first RecipientInfo that names one of ours."""
    ours = {(key.certificate.issuer.public_bytes(), key.certificate.serial_number): key for key in keys}
    try:
        for info in cms.RecipientInfos.load(_tlv(_SET, infos), strict=True):
            if info.name == "ktri":
                key = _named(ours, info.chosen["rid"])
                if key is not None:
                    return _transported(info.chosen, key)
            if info.name == "kari":
                for each in info.chosen["recipient_encrypted_keys"]:
                    key = _named(ours, each["rid"])
                    if key is not None:
                        return _unwrapped_by_agreement(info.chosen, each["encrypted_key"].native, key)
    except InvalidUnwrap as exc:
        raise Rejected("encryption.damaged", "the content's key can't be unwrapped") from exc
    except _UNREADABLE as exc:
        raise Rejected("encryption.malformed", repr(exc)[:200]) from exc
    raise Rejected("encryption.not_for_us", "encrypted to none of the keys that are here")


def _named(ours: dict[tuple[bytes, int], DecryptionKey], identifier: Any) -> DecryptionKey | None:  # noqa: ANN401
    if identifier.name != "issuer_and_serial_number":
        return None
    named = identifier.chosen
    return ours.get((named["issuer"].dump(), named["serial_number"].native))


def _transported(info: Any, key: DecryptionKey) -> bytes:  # noqa: ANN401  asn1crypto is untyped
    algorithm = info["key_encryption_algorithm"]
    parameters = algorithm["parameters"]
    if algorithm["algorithm"].dotted != _RSAES_OAEP or not isinstance(key.private_key, rsa.RSAPrivateKey):
        raise Rejected("encryption.profile", f"a key transported by {algorithm['algorithm'].dotted}")
    mask = parameters["mask_gen_algorithm"]
    used = (
        parameters["hash_algorithm"]["algorithm"].native, mask["algorithm"].native,
        mask["parameters"]["algorithm"].native,
    )  # fmt: skip
    if used != ("sha256", "mgf1", "sha256"):
        raise Rejected("encryption.profile", f"OAEP with {used}")
    return _whole(key.private_key.decrypt(info["encrypted_key"].native, _OAEP))


def _unwrapped_by_agreement(info: Any, wrapped: bytes, key: DecryptionKey) -> bytes:  # noqa: ANN401
    scheme = info["key_encryption_algorithm"]
    wrap = core.Sequence.load(scheme["parameters"].dump())
    named = core.ObjectIdentifier.load(wrap.contents[: 2 + wrap.contents[1]]).dotted
    if scheme["algorithm"].dotted != _ECDH_SHA256 or named not in _WRAPS:
        raise Rejected("encryption.profile", f"a key agreed by {scheme['algorithm'].dotted}, wrapped by {named}")
    if info["originator"].name != "originator_key" or not isinstance(key.private_key, ec.EllipticCurvePrivateKey):
        raise Rejected("encryption.profile", "a key that isn't agreed with a fresh one")
    point = info["originator"].chosen["public_key"].native
    public_key = ec.EllipticCurvePublicKey.from_encoded_point(key.private_key.curve, bytes(point))
    material = info["ukm"]
    ukm = None if isinstance(material, core.Void) else bytes(material.native)
    agreed = _agreed(key.private_key, public_key, wrap.dump(), _WRAPS[named], ukm)
    return _whole(aes_key_unwrap(agreed, wrapped))


def _agreed(
    private_key: ec.EllipticCurvePrivateKey, public_key: ec.EllipticCurvePublicKey, wrap: bytes, size: int,
    ukm: bytes | None,
) -> bytes:  # fmt: skip
    """The wrapping key (RFC 5753 §7.2, ECC-CMS-SharedInfo)."""
    extra = [] if ukm is None else [_tlv(0xA0, _tlv(_OCTETS, ukm))]
    info = _tlv(_SEQUENCE, wrap, *extra, _tlv(0xA2, _tlv(_OCTETS, (size * 8).to_bytes(4, "big"))))
    return X963KDF(hashes.SHA256(), size, info).derive(private_key.exchange(ec.ECDH(), public_key))


def _whole(key: bytes) -> bytes:
    if len(key) != _KEY_BYTES:
        raise Rejected("encryption.profile", f"a content key of {len(key)} bytes")
    return key


def _cipher(algorithm: bytes, key: bytes) -> Any:  # noqa: ANN401  cryptography's decrypting context
    try:
        named, parameters = _parts(algorithm)
        nonce, size = _parts(parameters)
    except _UNREADABLE as exc:
        raise Rejected("encryption.malformed", repr(exc)[:200]) from exc
    if named != _oid(_AES_256_GCM)[2:] or len(nonce) != _NONCE_BYTES or size != bytes([_TAG_BYTES]):
        raise Rejected("encryption.profile", "not AES-256-GCM with a nonce of 12 and a tag of 16 bytes")
    return Cipher(algorithms.AES256(key), modes.GCM(nonce)).decryptor()


def _parts(two: bytes) -> tuple[bytes, bytes]:
    """The contents of two short elements, one after the other."""
    first, end = two[2 : 2 + two[1]], 2 + two[1]
    second = two[end + 2 :]
    if len(second) != two[end + 1] or max(two[1], two[end + 1]) > 127:
        raise ValueError("lengths")
    return first, second


_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def _tlv(tag: int, *parts: bytes) -> bytes:
    """An element of DER around its parts."""
    content = b"".join(parts)
    return _head(tag, len(content)) + content


def _head(tag: int, size: int) -> bytes:
    if size < 128:
        return bytes([tag, size])
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length


def _oid(dotted: str) -> bytes:
    return bytes(core.ObjectIdentifier(dotted).dump())


class _Source:
    """DER out of chunks: heads and short elements as they come, and the rest as a stream."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = b""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return not self._more()

    def head(self, tag: int) -> int:
        """The length of the element that begins here, which must have this tag."""
        found, first = self._exactly(2)
        if found != tag:
            raise Rejected("encryption.profile", f"element {found:#x} where {tag:#x} belongs")
        if first < 0x80:
            return first
        if not 0x80 < first <= 0x88:
            raise Rejected("encryption.malformed", "a length that is not definite")
        return int.from_bytes(self._exactly(first & 0x7F), "big")

    def element(self, tag: int, most: int) -> bytes:
        """The content of the element that begins here, at most so many bytes."""
        size = self.head(tag)
        if size > most:
            raise Rejected("encryption.malformed", f"element {tag:#x} of {size} > {most} bytes")
        return self._exactly(size)

    def some(self, most: int) -> bytes:
        """What comes next, one byte at least."""
        if not self._more():
            raise Rejected("encryption.damaged", "it was cut")
        taken, self._held = self._held[:most], self._held[most:]
        return taken

    def _exactly(self, size: int) -> bytes:
        parts, left = [], size
        while left:
            part = self.some(left)
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _more(self) -> bool:
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._held = chunk
        return True
