"""Real packets of the national axis through the connector's reader.

The packets lie beside the repository, not in it, and nothing of what is in them is quoted here.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from connectors.edxml.codes import BusinessType
from connectors.edxml.packet import Packet, Status, open_packet
from connectors.edxml.signing import is_signed, verify
from exchange.errors import Rejected

SHARED = Path(__file__).parents[2] / ".." / "shared"
FOLDER = SHARED / "data" / "edxml"

pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared folder with real edXML packets is not beside this repository"
)

DOCUMENTS = {
    "truclienthong/edoc_revocation.edxml": (BusinessType.RECALL, 3, [388_347]),
    "truclienthong/edoc_update.edxml": (BusinessType.UPDATE, 3, [388_347]),
    "api-gateway-ioffice/1da394ba-2117-4354-a23f-6ec3e47ba81b.edxml": (BusinessType.NEW, 1, [11, 11, 11]),
    "api-gateway-ioffice/b6e1f29d-cdc9-4fa7-8391-442e8566f14e.edxml": (BusinessType.NEW, 1, [6, 6]),
    "api-gateway-ioffice/9e272474-0603-48a2-b525-9cd1af689612.edxml": (BusinessType.NEW, 1, [18_839]),
}
STATUSES = {
    "truclienthong/status_inbox_ 01.edxml": 1,
    "truclienthong/status_acceptance_03.edxml": 3,
    "truclienthong/status_finish_06.edxml": 6,
    "truclienthong/status_cancellation_13.edxml": 13,
    "truclienthong/status_change-acceptance_15.edxml": 15,
}
TEMPLATE = "ss-adapter/form.edxml"


def read(name: str, folder: Path) -> Packet:
    return open_packet(FOLDER / name, folder)


def test_every_packet_is_looked_at() -> None:
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.edxml")}
    assert found == {*DOCUMENTS, *STATUSES, TEMPLATE, "api-gateway-ioffice/test_edxml_with_content.edxml"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(name: str, tmp_path: Path) -> None:
    packet = read(name, tmp_path)
    business, recipients, sizes = DOCUMENTS[name]
    assert packet.business.type is business
    assert len(packet.document.to) == recipients
    assert [one.content.stat().st_size for one in packet.attachments] == sizes
    assert all(organ.id for organ in (packet.sender, *packet.document.to))
    assert packet.document.subject
    assert packet.document.promulgated is not None


@pytest.mark.parametrize("name", STATUSES)
def test_statuses(name: str, tmp_path: Path) -> None:
    packet = read(name, tmp_path)
    assert isinstance(packet.header, Status)
    assert packet.header.code == STATUSES[name]
    assert packet.header.response_for.document_id
    assert packet.header.said is not None
    assert len(packet.header.staff) == 1
    assert packet.warnings == ()


def test_what_the_content_type_says_decides_nothing(tmp_path: Path) -> None:
    """Declared text/plain over a ZIP each time; what was attached is text."""
    packet = read("api-gateway-ioffice/1da394ba-2117-4354-a23f-6ec3e47ba81b.edxml", tmp_path)
    assert len({sha256(one.content.read_bytes()).digest() for one in packet.attachments}) == 3
    assert all(one.content.read_bytes().isascii() for one in packet.attachments)


@pytest.mark.parametrize("name", ["truclienthong/edoc_revocation.edxml", "truclienthong/edoc_update.edxml"])
def test_their_signature_blocks_are_dummies(name: str, tmp_path: Path) -> None:
    """In the packet's own namespace, so no library sees them; looked at all the same, the certificate is a stub."""
    packet = read(name, tmp_path)
    assert not is_signed(packet)
    with pytest.raises(Rejected, match=r"edxml\.signature_certificate"):
        verify(FOLDER / name, packet, sha1=True)


def test_a_zip_one_byte_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"edxml\.zip_damaged"):
        read("api-gateway-ioffice/test_edxml_with_content.edxml", tmp_path)


def test_the_template_explains_instead_of_attaching(tmp_path: Path) -> None:
    """With SOAP attributes, xlink, other children of the root; its content is an explanation, not base64."""
    with pytest.raises(Rejected, match=r"edxml\.base64"):
        read(TEMPLATE, tmp_path)
    lines = (FOLDER / TEMPLATE).read_text("utf-8").splitlines(keepends=True)
    filled = tmp_path / "filled.edxml"
    tag = "ContentTransferEncoded"
    filled.write_text("".join(f"<{tag}>QUFB</{tag}>" if f"<{tag}>" in line else line for line in lines), "utf-8")
    packet = open_packet(filled, tmp_path)
    assert packet.business.type is BusinessType.UPDATE
    assert [one.content.read_bytes() for one in packet.attachments] == [b"AAA"]
    assert verify(filled, packet) is None, "its DigitalSignature is empty"
