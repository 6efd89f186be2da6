"""XML-DSig in packets: what we produce verifies and survives the way; what is wrapped, stripped or old is refused."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from lxml import etree

from connectors.edxml.limits import Limits
from connectors.edxml.packet import Packet, open_packet, parse
from connectors.edxml.signing import Found, is_signed, sign, verify
from exchange.errors import Rejected
from exchange.local.authority import Authority
from exchange.local.issuing import Issued, KeyKind
from tests.support.edxml import NAMESPACE, PLAN, document, packed, status

DS = "http://www.w3.org/2000/09/xmldsig#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


@dataclass
class Desk:
    """A place to sign and read packets."""

    folder: Path
    issued: Issued

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.issued.certificate)

    def signed(self, text: str) -> bytes:
        source, target = self.folder / "plain.edxml", self.folder / "signed.edxml"
        source.write_text(text, "utf-8")
        sign(source, target, self.issued.signing_key, self.certificate, Limits())
        return target.read_bytes()

    def read(self, data: bytes) -> tuple[Path, Packet]:
        path = self.folder / "read.edxml"
        path.write_bytes(data)
        return path, open_packet(path, self.folder)

    def verified(self, data: bytes, *, sha1: bool = False) -> Found | None:
        path, packet = self.read(data)
        return verify(path, packet, sha1=sha1)

    def refusal(self, data: bytes, *, sha1: bool = False) -> str:
        with pytest.raises(Rejected) as caught:
            self.verified(data, sha1=sha1)
        return caught.value.code


@pytest.fixture
def desk(authority: Authority, tmp_path: Path) -> Desk:
    return Desk(tmp_path, authority.issue("H26", "Hà Nội"))


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize(
    "text", [document(content=packed(PLAN)), status("H41", "G22", "03")], ids=["document", "status"]
)
def test_what_is_signed_verifies(authority: Authority, tmp_path: Path, kind: KeyKind, text: str) -> None:
    desk = Desk(tmp_path, authority.issue("H26", "Hà Nội", key=kind))
    data = desk.signed(text)
    found = desk.verified(data)
    assert found is not None
    assert (found.fingerprint, found.is_whole, found.is_restored) == (desk.issued.fingerprint, False, False)
    _, packet = desk.read(data)
    assert is_signed(packet)
    assert [one.content.read_bytes() for one in packet.attachments] == ([PLAN] if "Subject" in text else [])


def test_a_packet_without_a_signature(desk: Desk) -> None:
    assert desk.verified(document().encode()) is None
    _, packet = desk.read(document().encode())
    assert not is_signed(packet)


def test_what_hops_do_is_survived(desk: Desk) -> None:
    """A TraceHeader more, the attachment packed anew, other line ends in the base64."""
    data = desk.signed(document(content=packed(PLAN)))
    trace = b"<e:TraceHeader><e:OrganId>G15</e:OrganId></e:TraceHeader></e:TraceHeaderList>"
    hopped = data.replace(b"</e:TraceHeaderList>", trace)
    raw = base64.encodebytes(PLAN)
    hopped = hopped.replace(packed(PLAN).encode(), raw)
    assert hopped != data
    assert raw in hopped
    assert desk.verified(hopped) is not None


def test_pretty_printed_and_moved_into_the_packets_namespace(desk: Desk) -> None:
    """As real packets have it, which no library sees as a signature."""
    source = document()
    flat = "".join(line.strip() for line in source.splitlines())
    data = desk.signed(flat)
    root = parse(data)
    etree.indent(root)
    moved = etree.tostring(root).replace(DS.encode(), NAMESPACE.encode(), 1)
    moved = moved.replace(f'xmlns:ds="{DS}"'.encode(), f'xmlns:ds="{NAMESPACE}"'.encode())
    found = desk.verified(moved)
    assert found is not None
    assert found.is_restored


class TestRefused:
    def test_what_was_changed(self, desk: Desk) -> None:
        data = desk.signed(document(content=packed(PLAN)))
        for old, new in (
            (b"VPCP-TH", b"VPCP-TX"),
            ("kế hoạch.txt".encode(), "kế toán.txt".encode()),
            (b"000.00.00.H41", b"000.00.00.H42"),
        ):
            assert desk.refusal(data.replace(old, new, 1)) in {"edxml.signature_invalid", "edxml.signature_incomplete"}
        other = data.replace(packed(PLAN).encode(), packed(b"another file").encode())
        assert desk.refusal(other) == "edxml.signature_incomplete"

    def test_another_attachment_slipped_in(self, desk: Desk) -> None:
        data = desk.signed(document())
        more = b"<Attachment><ContentId>2</ContentId><AttachmentName>x</AttachmentName>"
        more += b"<ContentTransferEncoded>QUFB</ContentTransferEncoded></Attachment></AttachmentEncoded>"
        assert desk.refusal(data.replace(b"</AttachmentEncoded>", more)) == "edxml.signature_incomplete"

    def test_wrapped(self, desk: Desk) -> None:
        """The signed message moved aside, another one in its place: under another Id, the same, or none."""
        data = desk.signed(document())
        start, end = data.index(b"<e:MessageHeader"), data.index(b"</e:MessageHeader>") + len(b"</e:MessageHeader>")
        genuine = data[start:end]
        for identity in (b' Id="MessageHeader"', b' Id="other"', b""):
            forged = genuine.replace(b' Id="MessageHeader"', identity).replace(b"VPCP-TH", b"VPCP-TX")
            wrapped = data[:start] + forged + data[end:]
            wrapped = wrapped.replace(
                b"</edXML>", b'<Boundary xmlns:e="' + NAMESPACE.encode() + b'">' + genuine + b"</Boundary></edXML>"
            )
            assert desk.refusal(wrapped) in {"edxml.signature_invalid", "edxml.signature_incomplete"}

    def test_over_too_little(self, desk: Desk) -> None:
        """A genuine signature over the body alone says nothing about the message."""
        from signxml import XMLSigner
        from signxml.algorithms import CanonicalizationMethod, SignatureConstructionMethod

        root = parse(document().replace("<e:edXMLBody", '<e:edXMLBody Id="edXMLBody"').encode())
        signer = XMLSigner(
            method=SignatureConstructionMethod.detached, signature_algorithm="ecdsa-sha256",
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )  # fmt: skip
        key = desk.issued.private_key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        block = signer.sign(root, key=key, cert=[desk.certificate], reference_uri=["#edXMLBody"])
        header = root.find(f"{{{NAMESPACE}}}edXMLEnvelope/{{{NAMESPACE}}}edXMLHeader")
        assert header is not None
        header.append(block)
        assert desk.refusal(etree.tostring(root)) == "edxml.signature_incomplete"

    def test_two_signatures(self, desk: Desk) -> None:
        data = desk.signed(document())
        start, end = data.index(b"<ds:Signature "), data.index(b"</ds:Signature>") + len(b"</ds:Signature>")
        assert desk.refusal(data[:end] + data[start:end] + data[end:]) == "edxml.signature_repeated"

    def test_stub_certificates(self, desk: Desk) -> None:
        data = desk.signed(document())
        start = data.index(b"<ds:X509Certificate>") + len(b"<ds:X509Certificate>")
        assert desk.refusal(data[: start + 8] + data[data.index(b"</ds:X509Certificate>") :]) == (
            "edxml.signature_certificate"
        )

    def test_ed25519_cannot_sign(self, authority: Authority, tmp_path: Path) -> None:
        desk = Desk(tmp_path, authority.issue("H26", "Hà Nội", key="ed25519"))
        with pytest.raises(Rejected, match=r"signature\.algorithm"):
            desk.signed(document())

    def test_signed_already(self, desk: Desk) -> None:
        data = desk.signed(document())
        with pytest.raises(Rejected, match=r"edxml\.signature_present"):
            desk.signed(data.decode())


class TestOldSignatures:
    def old(self, desk: Desk, issued: Issued) -> bytes:
        """As the national SDK signs: the whole packet, enveloped, c14n 1.0, rsa-sha1."""
        flat = "".join(line.strip() for line in document().splitlines()).encode()
        root = parse(flat)
        digest = base64.b64encode(_sha1(etree.tostring(root, method="c14n"))).decode()
        info = (
            f'<SignedInfo xmlns="{DS}" xmlns:e="{NAMESPACE}">'
            f'<CanonicalizationMethod Algorithm="{C14N}"></CanonicalizationMethod>'
            f'<SignatureMethod Algorithm="{DS}rsa-sha1"></SignatureMethod><Reference URI=""><Transforms>'
            f'<Transform Algorithm="{DS}enveloped-signature"></Transform></Transforms>'
            f'<DigestMethod Algorithm="{DS}sha1"></DigestMethod><DigestValue>{digest}</DigestValue></Reference>'
            "</SignedInfo>"
        )
        key = issued.private_key
        assert isinstance(key, rsa.RSAPrivateKey)
        value = base64.b64encode(key.sign(info.encode(), padding.PKCS1v15(), SHA1())).decode()  # noqa: S303
        certificate = base64.b64encode(issued.certificate).decode()
        block = (
            f'<Signature xmlns="{DS}">{info}<SignatureValue>{value}</SignatureValue><KeyInfo><X509Data>'
            f"<X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></Signature></e:edXMLHeader>"
        )
        return flat.replace(b"</e:edXMLHeader>", block.encode())

    def test_by_policy_only(self, authority: Authority, tmp_path: Path) -> None:
        desk = Desk(tmp_path, authority.issue("H26", "Hà Nội", key="rsa2048"))
        data = self.old(desk, desk.issued)
        assert desk.refusal(data) == "edxml.signature_algorithm"
        found = desk.verified(data, sha1=True)
        assert found is not None
        assert (found.is_whole, found.algorithm) == (True, f"{DS}rsa-sha1")
        assert desk.refusal(data.replace(b"VPCP-TH", b"VPCP-TX"), sha1=True) == "edxml.signature_invalid"

    def test_a_changed_attachment(self, authority: Authority, tmp_path: Path) -> None:
        desk = Desk(tmp_path, authority.issue("H26", "Hà Nội", key="rsa2048"))
        data = self.old(desk, desk.issued)
        changed = data.replace(base64.b64encode(PLAN), base64.b64encode(PLAN + b"!!!"))
        assert changed != data
        assert desk.refusal(changed, sha1=True) == "edxml.signature_invalid"

    def test_of_the_packets_namespace(self, authority: Authority, tmp_path: Path) -> None:
        """Formatted and moved: restored, it verifies."""
        desk = Desk(tmp_path, authority.issue("H26", "Hà Nội", key="rsa2048"))
        data = self.old(desk, desk.issued)
        moved = data.replace(f'<Signature xmlns="{DS}">'.encode(), b"<Signature>").replace(
            f'<SignedInfo xmlns="{DS}" xmlns:e="{NAMESPACE}">'.encode(), b"<SignedInfo>"
        )
        root = etree.fromstring(moved)
        etree.indent(root)
        found = desk.verified(etree.tostring(root), sha1=True)
        assert found is not None
        assert (found.is_whole, found.is_restored) == (True, True)


def _sha1(data: bytes) -> bytes:
    import hashlib

    return hashlib.sha1(data).digest()  # noqa: S324
