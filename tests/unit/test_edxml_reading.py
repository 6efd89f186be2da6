"""Reading packets: any order and prefix, ZIP or raw; and everything hostile refused by a code of its own."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.edxml.codes import BusinessType
from connectors.edxml.limits import Limits
from connectors.edxml.packet import Packet, Status, open_packet
from exchange.cli.app import app
from exchange.errors import Rejected
from tests.support.edxml import ENTRY, NAMESPACE, PLAN, document, packed, status

SMALL = Limits(packet_bytes=200_000, slim_bytes=50_000, inflated_bytes=100_000, attachments=3, depth=12, elements=300)


def read(folder: Path, text: str | bytes, limits: Limits | None = None) -> Packet:
    source = folder / "packet.edxml"
    source.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_packet(source, folder, limits)


def refusal(folder: Path, text: str | bytes, limits: Limits | None = None) -> str:
    with pytest.raises(Rejected) as caught:
        read(folder, text, limits)
    return caught.value.code


def content(packet: Packet) -> bytes:
    [attachment] = packet.attachments
    return attachment.content.read_bytes()


class TestWhatIsRead:
    def test_a_document(self, tmp_path: Path) -> None:
        packet = read(tmp_path, document())
        header = packet.document
        assert (packet.sender.id, [organ.id for organ in header.to]) == ("000.00.00.G22", ["000.00.00.H41"])
        assert (header.number, header.notation, header.subject) == ("16", "VPCP-TH", "V/v kế hoạch năm 2026")
        assert str(header.promulgated) == "2026-01-15"
        assert packet.business.type is BusinessType.NEW
        assert packet.attachments[0].name == "kế hoạch.txt"
        assert content(packet) == PLAN
        assert packet.warnings == ("N.MessageHeader.To.OrganAdd",)

    def test_a_status(self, tmp_path: Path) -> None:
        packet = read(tmp_path, status("000.00.00.H41", "000.00.00.G22", "03", description="Đã vào sổ"))
        assert isinstance(packet.header, Status)
        assert (packet.header.code, packet.header.description) == (3, "Đã vào sổ")
        assert str(packet.header.said) == "2026-01-15 09:30:00+07:00"
        with pytest.raises(Rejected, match=r"edxml\.not_a_document"):
            _ = packet.document

    def test_prefixes_and_order_mean_nothing(self, tmp_path: Path) -> None:
        plain = read(tmp_path, document())
        other = document().replace("<e:", "<x:").replace("</e:", "</x:").replace("xmlns:e=", "xmlns:x=")
        subject = "<x:Subject>V/v kế hoạch năm 2026</x:Subject>"
        moved = other.replace(subject, "").replace("<x:MessageHeader>", f"<x:MessageHeader>{subject}")
        none = document().replace("<e:", "<").replace("</e:", "</")
        for text in (other, moved, none):
            packet = read(tmp_path, text)
            assert (packet.sender, packet.header, packet.business) == (plain.sender, plain.header, plain.business)

    @pytest.mark.parametrize(
        "text",
        [
            packed(PLAN),
            packed(PLAN, method=zipfile.ZIP_STORED),
            base64.encodebytes(PLAN).decode().replace("\n", "\r\n\t"),
            f"<![CDATA[{base64.b64encode(PLAN).decode()}]]>",
            f"<!-- tệp -->{base64.b64encode(PLAN).decode()}<!-- hết -->",
        ],
        ids=["zip", "stored zip", "wrapped", "cdata", "comments"],
    )
    def test_content_is_what_was_attached(self, tmp_path: Path, text: str) -> None:
        packet = read(tmp_path, document(content=text))
        assert content(packet) == PLAN
        assert base64.b64encode(PLAN)[:8] not in packet.xml

    def test_an_office_file_stays_a_zip(self, tmp_path: Path) -> None:
        office = io.BytesIO()
        with zipfile.ZipFile(office, "w") as archive:
            archive.writestr("[Content_Types].xml", "x")
            archive.writestr("word/document.xml", "y")
        named = base64.b64decode(packed(PLAN, "báo cáo.txt"))
        for file in (office.getvalue(), named):
            assert content(read(tmp_path, document(content=base64.b64encode(file).decode()))) == file

    def test_content_of_many_chunks(self, tmp_path: Path) -> None:
        """Longer than expat's and our own buffers, with a line end wherever a quartet might be cut."""
        file = bytes(range(256)) * 4_000
        assert content(read(tmp_path, document(content=base64.encodebytes(file).decode()))) == file

    def test_dates_and_numbers_that_cannot_be_are_warned_of(self, tmp_path: Path) -> None:
        text = document().replace("2026/01/15<", "2014/02/30<").replace("Priority>0", "Priority>nhanh")
        packet = read(tmp_path, text)
        assert packet.document.promulgated is None
        assert packet.document.priority == 0
        assert "T.MessageHeader.PromulgationInfo.PromulgationDate" in packet.warnings
        assert "T.MessageHeader.OtherInfo.Priority" in packet.warnings
        day_first = read(tmp_path, document().replace("2026/01/15<", "15/01/2026<"))
        assert str(day_first.document.promulgated) == "2026-01-15"


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("code", "text"),
        [
            ("edxml.not_well_formed", "junk" + document()),
            ("edxml.not_well_formed", document().replace("</e:Subject>", "</e:Content>")),
            ("edxml.not_well_formed", document().replace(f'xmlns:e="{NAMESPACE}"', "")),
            ("edxml.not_well_formed", document()[:-20]),
            ("edxml.encoding", document().encode("utf-16")),
            ("edxml.encoding", document().replace("UTF-8", "windows-1258", 1)),
            ("edxml.not_an_envelope", document().replace("edXMLEnvelope", "EdXMLEnvelope")),
            ("edxml.not_an_envelope", document().replace(NAMESPACE, "http://example.vn/other")),
            ("edxml.attachments_unknown", document(extra="<edXMLAttachments/>")),
            ("edxml.field_missing", document(subject=" ")),
            ("edxml.field_missing", document(number="")),
            ("edxml.field_missing", document(to=())),
            ("edxml.field_missing", document(sender="")),
            ("edxml.repeated", document(header="<e:Subject>Khác</e:Subject>")),
            ("edxml.repeated", document(header="<e:From><e:OrganId>G15</e:OrganId></e:From>")),
            ("edxml.attachment_missing", document().replace("<ContentId>1<", "<ContentId>2<")),
            ("edxml.base64", document(content="AAAA====")),
            ("edxml.base64", document(content="QQ==QUFB")),
            ("edxml.base64", document(content="AAA")),
            ("edxml.base64", document(content="Tệp đính kèm")),
            ("edxml.base64", document(content="<b>QUFB</b>")),
            ("edxml.base64", document(content="A" * 70_000 + "QQ==" + "A" * 70_000)),
            ("edxml.status_unknown", status("H41", "G22", "07")),
            ("edxml.status_unknown", status("H41", "G22", "٣")),
        ],
    )
    def test_by_its_code(self, tmp_path: Path, code: str, text: str | bytes) -> None:
        assert refusal(tmp_path, text) == code

    @pytest.mark.parametrize(
        "doctype",
        [
            "<!DOCTYPE edXML>",
            '<!DOCTYPE edXML [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE edXML SYSTEM "http://127.0.0.1:1/x.dtd">',
            '<!DOCTYPE edXML [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x">%p;]>',
            '<!DOCTYPE edXML [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        ],
        ids=["empty", "file", "external", "parameter", "bomb"],
    )
    def test_a_document_type_of_any_kind(self, tmp_path: Path, doctype: str) -> None:
        text = document(subject="&x;").replace("<edXML ", f"{doctype}<edXML ", 1)
        assert refusal(tmp_path, text) == "edxml.dtd"

    def test_an_entity_nobody_declared(self, tmp_path: Path) -> None:
        assert refusal(tmp_path, document(subject="&x;")) == "edxml.not_well_formed"

    def test_what_is_too_much(self, tmp_path: Path) -> None:
        deep = "<a>" * 20 + "</a>" * 20
        cases = {
            "edxml.too_deep": document(extra=deep),
            "edxml.too_many": document(extra="<a/>" * 300),
            "edxml.too_large": document(subject="x" * 4_001),
        }
        for code, text in cases.items():
            assert refusal(tmp_path, text, SMALL) == code
        assert refusal(tmp_path, document(extra="<!--" + "x" * 50_000 + "-->"), SMALL) == "edxml.too_large"
        assert refusal(tmp_path, document(content="A" * 200_000), SMALL) == "edxml.too_large"
        attachment = "<Attachment><ContentId>c</ContentId></Attachment>"
        many = document().replace("<AttachmentEncoded>", "<AttachmentEncoded>" + attachment * 3)
        assert refusal(tmp_path, many, SMALL) == "edxml.too_many"
        assert read(tmp_path, document(), SMALL).document.number == "16"

    def test_a_zip_bomb(self, tmp_path: Path) -> None:
        assert refusal(tmp_path, document(content=packed(b"\0" * 100_001)), SMALL) == "edxml.zip_bomb"
        assert len(content(read(tmp_path, document(content=packed(b"\0" * 100_000)), SMALL))) == 100_000

    def test_a_zip_that_lies_about_its_size(self, tmp_path: Path) -> None:
        """What counts is what comes out, not what the header says."""
        data = bytearray(base64.b64decode(packed(b"\0" * 200_000)))
        for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            start = data.index(signature) + place
            data[start : start + 4] = (10).to_bytes(4, "little")
        code = refusal(tmp_path, document(content=base64.b64encode(data).decode()), SMALL)
        assert code in {"edxml.zip_bomb", "edxml.zip_damaged"}

    def test_a_damaged_zip(self, tmp_path: Path) -> None:
        whole = bytearray(base64.b64decode(packed(PLAN)))
        changed = bytes(whole[:80]) + bytes([whole[80] ^ 1]) + bytes(whole[81:])
        for data in (whole[:-1], whole[:40], changed):
            assert refusal(tmp_path, document(content=base64.b64encode(data).decode())) == "edxml.zip_damaged"

    def test_an_encrypted_zip(self, tmp_path: Path) -> None:
        data = bytearray(base64.b64decode(packed(PLAN)))
        data[data.index(b"PK\x03\x04") + 6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
        assert refusal(tmp_path, document(content=base64.b64encode(data).decode())) == "edxml.zip_encrypted"

    def test_a_path_is_no_uuid(self, tmp_path: Path) -> None:
        """A ZIP whose entry would climb out of a folder is not unpacked."""
        text = packed(PLAN, f"../{ENTRY}")
        assert content(read(tmp_path, document(content=text))) == base64.b64decode(text)


def test_memory_does_not_grow_with_the_packet(tmp_path: Path) -> None:
    """Forty megabytes of base64 cost as much memory as forty bytes, give or take a few buffers."""
    program = """
import sys
from pathlib import Path
from connectors.edxml.packet import open_packet
open_packet(Path(sys.argv[1]), Path(sys.argv[2]))
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
    peaks_kib = []
    for number, size in enumerate((30, 30_000_000)):
        folder = tmp_path / str(number)
        folder.mkdir()
        text = document(content=base64.b64encode(b"\x01" * size).decode())
        (folder / "packet.edxml").write_text(text, "utf-8")
        ran = subprocess.run(
            [sys.executable, "-c", program, str(folder / "packet.edxml"), str(folder)], check=True, capture_output=True
        )
        assert (folder / "content-1").stat().st_size == size
        peaks_kib.append(int(ran.stdout))
    assert peaks_kib[1] - peaks_kib[0] < 8 * 1024


class TestCommand:
    def test_inspect(self, tmp_path: Path) -> None:
        path = tmp_path / "packet.edxml"
        path.write_text(document(), encoding="utf-8")
        shown = json.loads(CliRunner().invoke(app, ["edxml", "inspect", str(path), "--json"]).output)
        assert shown["header"]["subject"] == "V/v kế hoạch năm 2026"
        assert shown["attachments"][0]["size"] == len(PLAN)
        lines = CliRunner().invoke(app, ["edxml", "inspect", str(path)]).output
        assert "16/VPCP-TH, 2026-01-15" in lines

    def test_inspect_refuses(self, tmp_path: Path) -> None:
        path = tmp_path / "packet.edxml"
        path.write_text(document(number=""), encoding="utf-8")
        done = CliRunner().invoke(app, ["edxml", "inspect", str(path)])
        assert isinstance(done.exception, Rejected)
        assert done.exception.code == "edxml.field_missing"
