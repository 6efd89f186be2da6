"""CMS (PKCS#7): accept what signing tokens make, and export what ``openssl cms -verify`` reads.

Guarantees: a detached SignedData is accepted only if its one SignerInfo is of the certificate that the record
names, and its signed attributes hold this content's type and SHA-256. Every other certificate, attribute or list
inside is ignored: trust comes from the directory. An export proves exactly the bytes that were signed.

Source: RFC 5652 §5 (SignedData), §11 (attributes); RFC 5754 (SHA-2), RFC 5753 (ECDSA), RFC 4056 (PSS).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from asn1crypto import algos, cms, core, x509

from exchange.errors import Rejected
from exchange.signatures import algorithms
from exchange.signatures.certificates import Certificate

CMS_BYTES_MAX = 16 * 1024

# What asn1crypto lets through of hostile bytes, as its parser is lazy.
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError)

_ALGORITHMS = {
    "sha256_ecdsa": algorithms.ECDSA_P256_SHA256,
    "sha256_rsa": algorithms.RSA_PKCS1_SHA256,
    "rsassa_pkcs1v15": algorithms.RSA_PKCS1_SHA256,
    "ed25519": algorithms.ED25519,
}
_EXPORTED = {
    algorithms.ECDSA_P256_SHA256: "sha256_ecdsa",
    algorithms.RSA_PKCS1_SHA256: "sha256_rsa",
}
_SET_OF = b"\x31"


def check_signature(
    certificate: Certificate, algorithm: str, signature: bytes, message: bytes, digest: bytes | None = None
) -> None:
    """Verify a record's signature over `message`, plain or as CMS; `digest`: its SHA-256 if known.

    Raises: Rejected ``signature.*``, ``cms.*``: the sender must act.
    """
    if algorithm == algorithms.CMS:
        check_cms(certificate, signature, message)
    else:
        algorithms.check(certificate.public_key, algorithm, signature, message, digest)


def check_cms(certificate: Certificate, detached: bytes, message: bytes) -> None:
    """Verify a detached SignedData (DER, with signed attributes) over `message` by exactly this certificate.

    Raises: Rejected ``cms.too_large``, ``cms.malformed``, ``cms.not_detached``, ``cms.signers``,
        ``cms.other_certificate``, ``cms.algorithm``, ``cms.attributes``, ``cms.other_content``,
        ``signature.invalid``, ``signature.algorithm``: the sender must act.
    """
    if len(detached) > CMS_BYTES_MAX:
        raise Rejected("cms.too_large", f"{len(detached)} > {CMS_BYTES_MAX} bytes")
    try:
        info = _signer_info(detached)
        _check_signer(info, certificate)
        algorithm = _algorithm(info)
        signed = _signed_attributes(info, message)
        signature = info["signature"].native
    except _UNREADABLE as exc:
        raise Rejected("cms.malformed", repr(exc)[:200]) from exc
    # 6. RFC 5652 §5.4: the signature is over the attributes, which name the content.
    algorithms.check(certificate.public_key, algorithm, signature, signed)


def _signer_info(detached: bytes) -> Any:  # noqa: ANN401  asn1crypto is untyped
    """Steps 1 and 2: a SignedData without content, with one signer (RFC 5652 §5.1, §5.2)."""
    content = cms.ContentInfo.load(detached, strict=True)
    if content["content_type"].native != "signed_data":
        raise Rejected("cms.malformed", f"a {content['content_type'].native}")
    signed_data = content["content"]
    encapsulated = signed_data["encap_content_info"]
    if encapsulated["content_type"].native != "data":
        raise Rejected("cms.malformed", f"it signs a {encapsulated['content_type'].native}")
    if not isinstance(encapsulated["content"], core.Void):
        raise Rejected("cms.not_detached", "the content belongs into the record's statement")
    infos = signed_data["signer_infos"]
    if len(infos) != 1:
        raise Rejected("cms.signers", f"{len(infos)} signers, not 1")
    return infos[0]


def _check_signer(info: Any, certificate: Certificate) -> None:  # noqa: ANN401
    """Step 3: the signer is the record's certificate (RFC 5652 §5.3, by issuer and serial number)."""
    identifier = info["sid"]
    if identifier.name != "issuer_and_serial_number":
        raise Rejected("cms.other_certificate", f"the signer is named by {identifier.name}")
    named = identifier.chosen
    if named["issuer"].dump() != certificate.issuer or named["serial_number"].native != certificate.serial:
        raise Rejected("cms.other_certificate", certificate.fingerprint.hex())


def _algorithm(info: Any) -> str:  # noqa: ANN401
    """Step 4: SHA-256 and one of our algorithms (RFC 5754 §2.2, §3)."""
    digest = info["digest_algorithm"]["algorithm"].native
    if digest != "sha256":
        raise Rejected("cms.algorithm", f"digest {digest}")
    named = info["signature_algorithm"]
    name = named["algorithm"].native
    if name == "rsassa_pss" and _is_our_pss(named["parameters"]):
        return algorithms.RSA_PSS_SHA256
    if name not in _ALGORITHMS:
        raise Rejected("cms.algorithm", f"signature {name}"[:80])
    return _ALGORITHMS[name]


def _is_our_pss(parameters: Any) -> bool:  # noqa: ANN401
    mask = parameters["mask_gen_algorithm"]
    named = (
        parameters["hash_algorithm"]["algorithm"].native,
        mask["algorithm"].native,
        mask["parameters"]["algorithm"].native,
        parameters["salt_length"].native,
        parameters["trailer_field"].native,
    )
    return named == ("sha256", "mgf1", "sha256", algorithms.PSS_SALT_BYTES, "trailer_field_bc")


def _signed_attributes(info: Any, message: bytes) -> bytes:  # noqa: ANN401
    """Step 5: the attributes name this content (RFC 5652 §11.1, §11.2); returns the bytes that are signed.

    §5.4: what is signed is their encoding as SET OF, not with the implicit tag [0] that they travel under; only
    the tag differs. The very bytes received are used, so what was parsed is what was signed.
    """
    attributes = info["signed_attrs"]
    if isinstance(attributes, core.Void) or not len(attributes):
        raise Rejected("cms.attributes", "no signed attributes")
    held: dict[str, Any] = {}
    for attribute in attributes:
        name = attribute["type"].native
        if name in held:
            raise Rejected("cms.attributes", f"{name} twice"[:80])
        held[name] = attribute["values"]
    if not {"content_type", "message_digest"} <= held.keys():
        raise Rejected("cms.attributes", "contentType and messageDigest are required")
    if held["content_type"].native != ["data"]:
        raise Rejected("cms.attributes", "contentType is not data")
    if held["message_digest"].native != [sha256(message).digest()]:
        raise Rejected("cms.other_content", "messageDigest is another content's")
    return _SET_OF + bytes(attributes.dump())[1:]


def export(
    statement: bytes,
    signature: bytes,
    algorithm: str,
    certificate: bytes,
    chain: Sequence[bytes] = (),
    *,
    detached: bool = True,
) -> bytes:
    """Wrap a plain signature into a SignedData (DER) that proves the same bytes, without signed attributes.

    `certificate`: the signer's DER; `chain`: further certificates to put in, the root excluded. Verify with
    ``openssl cms -verify -binary -inform DER -in FILE -content STATEMENT -CAfile ROOT``.

    Raises: Rejected ``cms.algorithm`` for other algorithms than ECDSA P-256 and RSA PKCS#1 v1.5, which OpenSSL 3.0
        can't verify in CMS: the caller must offer another proof.
    """
    if algorithm not in _EXPORTED:
        raise Rejected("cms.algorithm", f"{algorithm} has no CMS form that OpenSSL 3.0 verifies")
    signer = x509.Certificate.load(certificate)
    sha_256 = algos.DigestAlgorithm({"algorithm": "sha256"})
    encapsulated: dict[str, Any] = {"content_type": "data"}
    if not detached:
        encapsulated["content"] = core.OctetString(statement)
    info = {
        "version": "v1",
        "sid": cms.SignerIdentifier(
            name="issuer_and_serial_number",
            value={"issuer": signer.issuer, "serial_number": signer.serial_number},
        ),
        "digest_algorithm": sha_256,
        "signature_algorithm": {"algorithm": _EXPORTED[algorithm]},
        "signature": signature,
    }
    signed_data = {
        "version": "v1",
        "digest_algorithms": [sha_256],
        "encap_content_info": encapsulated,
        "certificates": [signer, *(x509.Certificate.load(der) for der in chain)],
        "signer_infos": [info],
    }
    wrapped = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(signed_data)})
    return bytes(wrapped.dump())
