"""XML-DSig in packets: produced and verified with signxml; SHA-1 by an explicit policy only.

What we produce signs the header's message and the body, in which the digest of each attachment stands: hops may add
TraceHeaders and pack the attachments anew, and it still verifies. What we verify besides is a signature over the whole
packet (URI=""), also one that was moved into the packet's own namespace and pretty-printed, as real packets have it;
for that the whole packet is held in memory.

Guarantees: `verify` returns only if a signature verifies with the certificate in it and covers the message and every
attachment as they are read here, from where they are read; a second element of the same Id, or a signature elsewhere,
is refused, which is what wrapping needs. Not guaranteed: whose certificate it is. Trust comes from the
statement's signatures, never from these blocks.

Source: XML Signature 1.1 (W3C, 2013), Exclusive Canonicalization 1.0; XML Signature Best Practices, §2.1 and §2.3.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterator
from copy import deepcopy
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature as WrongSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConfiguration,
    SignatureConstructionMethod,
    SignatureMethod,
    XMLSigner,
    XMLVerifier,
)
from signxml.exceptions import SignXMLException

from connectors.edxml.limits import Limits
from connectors.edxml.packet import Packet, one, open_packet, parse
from connectors.edxml.reading import CHUNK_BYTES, NAMESPACE, read
from exchange.errors import Misconfigured, Rejected
from exchange.sdk import SigningKey

DIGEST = "{urn:exchange:edxml}sha256"
_DS = "http://www.w3.org/2000/09/xmldsig#"
_SIGNATURES = ("Signature", "DigitalSignature")
_CONTENT = ("AttachmentEncoded", "Attachment", "ContentTransferEncoded")
_METHODS = frozenset({SignatureMethod.RSA_SHA256, SignatureMethod.ECDSA_SHA256, SignatureMethod.SHA256_RSA_MGF1})
_OLD_METHODS = frozenset({SignatureMethod.RSA_SHA1})
_DIGESTS = frozenset({DigestAlgorithm.SHA256})
_OLD_DIGESTS = frozenset({DigestAlgorithm.SHA1})
_LOCATION = f"./{{{NAMESPACE}}}edXMLEnvelope/{{{NAMESPACE}}}edXMLHeader/"
_UNUSABLE = (SignXMLException, WrongSignature, ValueError, TypeError, KeyError, AttributeError, etree.LxmlError)
"""What signxml raises for a signature that is wrong, or no signature at all."""


class Found(NamedTuple):
    """A signature that verifies. `fingerprint`: SHA-256 of the certificate in it; `is_whole`: it is over the whole
    packet; `is_restored`: only after namespace and layout were restored."""

    fingerprint: bytes
    certificate: x509.Certificate
    algorithm: str
    is_whole: bool
    is_restored: bool


def load_certificate(path: Path) -> x509.Certificate:
    """A certificate from a PEM file; Misconfigured if there is none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise Misconfigured([f"{path} is no certificate: {exc}"]) from exc


def is_signed(packet: Packet) -> bool:
    """Whether a packet has an XML-DSig signature (one in the packet's own namespace is none)."""
    return any(etree.QName(block).namespace == _DS for block in _blocks(parse(packet.xml)))


def sign(source: Path, target: Path, key: SigningKey, certificate: x509.Certificate, limits: Limits) -> None:
    """Write a packet with a signature of ours; everything else of it stays, byte for byte where nothing is signed.

    Raises: Rejected ``edxml.signature_present``, ``signature.algorithm`` (no XML-DSig for that key), as `open_packet`.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        packet = open_packet(source, folder, limits)
        cuts = read(source, folder, limits).cuts
        root = parse(packet.xml)
        if any(len(block) for block in _blocks(root)):
            raise Rejected("edxml.signature_present", source.name[:80])
        for element in _parts(root):
            element.set("Id", etree.QName(element).localname)
        digests = {one.content_id: _digest(one.content) for one in packet.attachments}
        for reference in root.iter(f"{{{NAMESPACE}}}Reference"):
            content_id = one(reference, "ContentId")
            named = "" if content_id is None or content_id.text is None else content_id.text.strip()
            reference.set(DIGEST, digests[named.removeprefix("cid:").strip()].hex())
        private_key, method = _method(key)
        signer = XMLSigner(
            method=SignatureConstructionMethod.detached,
            signature_algorithm=method,
            digest_algorithm=DigestAlgorithm.SHA256,
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        uris = [f"#{element.get('Id')}" for element in _parts(root)]
        block = signer.sign(root, key=private_key, cert=[certificate], reference_uri=uris, id_attribute="Id")
        header = root.find(_LOCATION.rstrip("/"))
        if header is not None:
            header.append(block)
        with target.open("wb") as out:
            for piece in _whole(root, source, cuts):
                out.write(piece)


def verify(source: Path, packet: Packet, *, sha1: bool = False, limits: Limits | None = None) -> Found | None:
    """Verify a packet's signature, read as `packet`; None if it has none. `sha1`: take old algorithms.

    Raises: Rejected ``edxml.signature_invalid``, ``edxml.signature_repeated``, ``edxml.signature_incomplete`` (it
        doesn't cover the message or an attachment), ``edxml.signature_certificate``, ``edxml.signature_algorithm``.
    """
    root = parse(packet.xml)
    blocks = [block for block in _blocks(root) if len(block)]
    if not blocks:
        return None
    if len(blocks) > 1:
        raise Rejected("edxml.signature_repeated", f"{len(blocks)} signatures")
    certificate = _certificate(blocks[0])
    algorithm = _algorithm(blocks[0], sha1=sha1)
    uris = [_attribute(reference, "URI") for reference in _named(blocks[0], "Reference")]
    is_whole = uris == [""]
    if is_whole:
        root = _full(source, limits or Limits())
    is_restored = False
    try:
        _verified(root, certificate, len(uris), is_whole=is_whole, sha1=sha1)
    except _UNUSABLE as exc:
        try:
            _verified(_restored(root), certificate, len(uris), is_whole=is_whole, sha1=sha1)
        except _UNUSABLE:
            raise Rejected("edxml.signature_invalid", str(exc)[:200]) from exc
        is_restored = True
    if not is_whole:
        _require_attachments(root, packet)
    fingerprint = sha256(certificate.public_bytes(Encoding.DER)).digest()
    return Found(fingerprint, certificate, algorithm, is_whole, is_restored)


def _verified(root: etree._Element, certificate: x509.Certificate, count: int, *, is_whole: bool, sha1: bool) -> None:
    """Let signxml verify, then hold what it saw signed against what is read here."""
    config = SignatureConfiguration(
        require_x509=True,
        location=_LOCATION,
        expect_references=count,
        signature_methods=_METHODS | (_OLD_METHODS if sha1 else frozenset()),
        digest_algorithms=_DIGESTS | (_OLD_DIGESTS if sha1 else frozenset()),
        verification_time=certificate.not_valid_before_utc,  # whose it is, and whether still, is not asked here
    )
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    verifier = XMLVerifier()
    verifier.excise_empty_xmlns_declarations = True  # libxml2 adds them where it canonicalises a part inclusively
    results = verifier.verify(root, x509_cert=certificate, expect_config=config, id_attribute="Id", parser=parser)
    signed = [result.signed_xml for result in (results if isinstance(results, list) else [results])]
    wanted = [root] if is_whole else list(_parts(root))
    if is_whole:
        if len(signed) != 1 or signed[0] is None or signed[0].tag != root.tag:
            raise Rejected("edxml.signature_incomplete", "not over the packet")
        return
    seen = {_canonical(element) for element in signed if element is not None}
    for element in wanted:
        if _canonical(element) not in seen:
            raise Rejected("edxml.signature_incomplete", f"not over {etree.QName(element).localname}")


def _require_attachments(root: etree._Element, packet: Packet) -> None:
    """Every attachment has the digest that stands in the signed body."""
    digests: dict[str, str] = {}
    for reference in root.iter(f"{{{NAMESPACE}}}Reference"):
        content_id = one(reference, "ContentId")
        named = "" if content_id is None or content_id.text is None else content_id.text.strip()
        digests[named.removeprefix("cid:").strip()] = _attribute(reference, DIGEST)
    for attachment in packet.attachments:
        if digests.get(attachment.content_id) != _digest(attachment.content).hex():
            raise Rejected("edxml.signature_incomplete", f"not over attachment {attachment.name[:80]}")


def _blocks(root: etree._Element) -> list[etree._Element]:
    """Signature blocks in the header, of either namespace."""
    header = root.find(_LOCATION.rstrip("/"))
    children = [] if header is None else [child for child in header if isinstance(child.tag, str)]
    return [child for child in children if etree.QName(child).localname in _SIGNATURES]


def _parts(root: etree._Element) -> Iterator[etree._Element]:
    """The elements that we sign: the header's message, and the body where there is one."""
    envelope = one(root, "edXMLEnvelope")
    for element in (one(one(envelope, "edXMLHeader"), "MessageHeader"), one(envelope, "edXMLBody")):
        if element is not None:
            yield element


def _method(key: SigningKey) -> tuple[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, SignatureMethod]:
    if isinstance(key.private_key, rsa.RSAPrivateKey):
        return key.private_key, SignatureMethod.RSA_SHA256
    if isinstance(key.private_key, ec.EllipticCurvePrivateKey):
        return key.private_key, SignatureMethod.ECDSA_SHA256
    raise Rejected("signature.algorithm", "XML-DSig knows no Ed25519 here: use a P-256 or RSA key")


def _algorithm(block: etree._Element, *, sha1: bool) -> str:
    """The signature's algorithm, if policy allows it and those of its digests."""
    methods = [_attribute(element, "Algorithm") for element in _named(block, "SignatureMethod")]
    digests = [_attribute(element, "Algorithm") for element in _named(block, "DigestMethod")]
    allowed = {one.value for one in _METHODS | _DIGESTS}
    if sha1:
        allowed |= {one.value for one in _OLD_METHODS | _OLD_DIGESTS}
    for found in (*methods, *digests):
        if found not in allowed:
            raise Rejected("edxml.signature_algorithm", found[:100])
    return methods[0] if methods else ""


def _certificate(block: etree._Element) -> x509.Certificate:
    texts = ["".join((element.text or "").split()) for element in _named(block, "X509Certificate")]
    if not texts:
        raise Rejected("edxml.signature_certificate", "it names none")
    try:
        return x509.load_der_x509_certificate(base64.b64decode(texts[0], validate=True))
    except (ValueError, binascii.Error) as exc:
        raise Rejected("edxml.signature_certificate", str(exc)[:200]) from exc


def _restored(root: etree._Element) -> etree._Element:
    """The packet as it may have been signed: the signature in its namespace, nothing that is only layout."""
    copy = deepcopy(root)
    for element in copy.iter(etree.Element):
        if len(element) and not (element.text or "").strip():
            element.text = None
        if not (element.tail or "").strip():
            element.tail = None
    for block in _blocks(copy):
        parent, moved = block.getparent(), _moved(block, None)
        if parent is not None:
            parent.replace(block, moved)
    return copy


def _moved(element: etree._Element, parent: etree._Element | None) -> etree._Element:
    """A copy in XML-DSig's namespace, with the prefix that it has."""
    tag = f"{{{_DS}}}{etree.QName(element).localname}"
    nsmap: dict[str, str] = {element.prefix: _DS}  # None is the default one
    made = etree.Element(tag, nsmap=nsmap) if parent is None else etree.SubElement(parent, tag)
    made.attrib.update(element.attrib)
    made.text = element.text
    for child in element.iterchildren(etree.Element):
        _moved(child, made)
    return made


def _full(source: Path, limits: Limits) -> etree._Element:
    """All of a packet as a tree; the first pass has read it within its limits and found no document type."""
    if source.stat().st_size > limits.packet_bytes:
        raise Rejected("edxml.too_large", f"> {limits.packet_bytes} bytes")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
    try:
        return etree.parse(str(source), parser).getroot()
    except etree.XMLSyntaxError as exc:
        raise Rejected("edxml.not_well_formed", str(exc)[:200]) from exc


def _whole(root: etree._Element, source: Path, cuts: list[tuple[int, int]]) -> Iterator[bytes]:
    """A changed slim tree with the packet's own base64 put back."""
    contents = root.findall("/".join(f"{{{NAMESPACE}}}{name}" for name in _CONTENT))
    mark = secrets.token_hex(16)
    for element in contents:
        element.text = mark
    text = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    with source.open("rb") as stream:
        for (start, end), before in zip(cuts, text.split(mark.encode())[:-1], strict=True):
            yield before
            stream.seek(start)
            for place in range(start, end, CHUNK_BYTES):
                yield stream.read(min(CHUNK_BYTES, end - place))
    yield text.rpartition(mark.encode())[2]


def _named(parent: etree._Element, name: str) -> list[etree._Element]:
    """Descendants by local name, of whatever namespace."""
    return [one for one in parent.iter(etree.Element) if etree.QName(one).localname == name]


def _attribute(element: etree._Element, name: str) -> str:
    return str(element.get(name) or "")


def _canonical(element: etree._Element) -> bytes:
    return bytes(etree.tostring(element, method="c14n", exclusive=True, with_comments=False))


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").digest()
