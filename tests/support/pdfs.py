"""Small PDF files, signed as PAdES by certificates made here."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.writer import PageObject, PdfFileWriter
from pyhanko.sign import fields, signers


@dataclass(frozen=True, slots=True)
class Signing:
    """A root and somebody whom it knows."""

    root: bytes
    signer: signers.SimpleSigner


def signing(folder: Path, name: str) -> Signing:
    """A new root, and a signer of this name under it."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in ("Gốc thử nghiệm", name)]
    now = datetime.now(UTC)

    def made(of: int) -> x509.Certificate:
        return (
            x509.CertificateBuilder(
                names[0], names[of], keys[of].public_key(), x509.random_serial_number(), now - timedelta(1),
                now + timedelta(30),
            )
            .add_extension(x509.BasicConstraints(ca=of == 0, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=of == 1, content_commitment=of == 1, key_encipherment=False,
                    data_encipherment=False, key_agreement=False, key_cert_sign=of == 0, crl_sign=of == 0,
                    encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
            .sign(keys[0], SHA256())
        )  # fmt: skip

    key, certificate = folder / f"{name}.key.pem", folder / f"{name}.crt.pem"
    key.write_bytes(keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_bytes(made(1).public_bytes(Encoding.PEM))
    signer = signers.SimpleSigner.load(str(key), str(certificate))
    assert isinstance(signer, signers.SimpleSigner)
    return Signing(made(0).public_bytes(Encoding.DER), signer)


def blank() -> bytes:
    """A PDF with one empty page."""
    writer, target = PdfFileWriter(), io.BytesIO()
    content = writer.add_object(generic.StreamObject(stream_data=b""))
    writer.insert_page(PageObject(contents=content, media_box=(0, 0, 100, 100)))
    writer.write(target)
    return target.getvalue()


def signed(data: bytes, signer: signers.SimpleSigner, field: str = "Signature1") -> bytes:
    """The PDF with one signature more."""
    metadata = signers.PdfSignatureMetadata(
        field_name=field, md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES
    )
    made = signers.sign_pdf(IncrementalPdfFileWriter(io.BytesIO(data)), metadata, signer)
    return bytes(made.getvalue())


def annotated(data: bytes) -> bytes:
    """The PDF with its page exchanged for a larger one afterwards."""
    writer = IncrementalPdfFileWriter(io.BytesIO(data))
    page = writer.root["/Pages"]["/Kids"][0]
    page["/MediaBox"] = generic.ArrayObject([generic.NumberObject(one) for one in (0, 0, 500, 500)])
    writer.update_container(page)
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()
