"""Between packets and statements, both ways, without services: what has a field, what rides along."""

from __future__ import annotations

from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from connectors.edxml.building import build_document, build_status
from connectors.edxml.codes import BusinessType
from connectors.edxml.drafting import Thread, document_fields, status_fields, targets, type_of
from connectors.edxml.packet import Organ, Packet, Status, open_packet
from exchange.errors import Rejected
from exchange.sdk import Fields, compose
from exchange.sdk.fetching import NAME_BYTES_MAX, _free_name
from exchange.statements import KINDS, identify
from exchange.statements.status import EXTENSION_BYTES_MAX
from tests.support.edxml import PLAN, document, status

DAY = date(2026, 1, 20)
NOW_MS = 1_768_900_000_000


def read(folder: Path, text: str) -> Packet:
    path = folder / "packet.edxml"
    path.write_text(text, "utf-8")
    return open_packet(path, folder)


def organ(code: str) -> Organ:
    return Organ(code, f"Cơ quan {code}")


class TestDrafting:
    def test_a_document(self, tmp_path: Path) -> None:
        packet = read(tmp_path, document(to=("000.00.00.H41", "H41", "002.00.20.H13")))
        fields = document_fields(packet, "1", NOW_MS, DAY)
        KINDS["document"].check(fields)
        assert (fields["sender"], fields["to"]) == ("G22", ["H41", "H13.20.00.002"])
        assert (fields["code_number"], fields["code_notation"], fields["type"]) == ("16", "VPCP-TH", "QĐ")
        assert fields["issued"] == compose.days(date(2026, 1, 15))
        assert (fields["business"], fields["thread"], fields["lane"]) == ("new", None, "normal")

    def test_without_a_date_it_is_of_the_day(self, tmp_path: Path) -> None:
        packet = read(tmp_path, document().replace("2026/01/15<", "<"))
        assert document_fields(packet, "1", NOW_MS, DAY)["issued"] == compose.days(DAY)

    def test_a_number_as_real_packets_have_it(self, tmp_path: Path) -> None:
        """Fourteen digits, where the standard allows eleven."""
        fields = document_fields(read(tmp_path, document(number="20251020104803")), "1", NOW_MS, DAY)
        KINDS["document"].check(fields)
        assert fields["code_number"] == "20251020104803"

    def test_lower_case_codes_by_configuration_only(self, tmp_path: Path) -> None:
        packet = read(tmp_path, document("vxp.saas.03", ("vxp.saas.02",)))
        with pytest.raises(Rejected, match=r"agency\.code_malformed"):
            document_fields(packet, "1", NOW_MS, DAY)
        fields = document_fields(packet, "1", NOW_MS, DAY, sandbox=True)
        assert (fields["sender"], fields["to"]) == ("VXP.SAAS.03", ["VXP.SAAS.02"])

    @pytest.mark.parametrize(
        ("name", "short"),
        [("Công văn", "CV"), (" công  VĂN ", "CV"), ("Quyết định (cá biệt)", "QĐ"), ("Quy định", "QyĐ"), ("", "CV"),
         ("Luật", "CV"), ("Thông báo", "TB")],
    )  # fmt: skip
    def test_types(self, name: str, short: str) -> None:
        assert type_of(name) == short

    def test_targets_of_follow_ups(self, tmp_path: Path) -> None:
        about = "<e:OrganId>G22</e:OrganId><e:Code>1/A</e:Code><e:DocumentId>about</e:DocumentId>"
        about = f"<e:ResponseFor>{about}</e:ResponseFor>"
        kind = "<e:BussinessDocType>{}</e:BussinessDocType>"
        own = "<e:DocumentId>own</e:DocumentId>"
        old = "<e:ReplacementInfo><e:DocumentId>{}</e:DocumentId></e:ReplacementInfo>"
        replaced = f"<e:ReplacementInfoList>{old.format('a')}{old.format('b')}{old.format('a')}</e:ReplacementInfoList>"
        cases = {
            document(): [],
            document(business=kind.format(1) + own): ["own", "G22-2026-1"],
            document(business=kind.format(1), header=about): ["about", "G22-2026-1"],
            document(business=kind.format(2)): ["G22-2026-1"],
            document(business=kind.format(3) + replaced): ["a", "b"],
        }
        for text, wanted in cases.items():
            assert targets(read(tmp_path, text)) == wanted

    def test_a_status_of_either_side(self, tmp_path: Path) -> None:
        received = status_fields(read(tmp_path, status("H41", "G22", "03")), "s", NOW_MS, "G22/d", 1)
        asked = status_fields(read(tmp_path, status("G22", "H41", "13")), "s", NOW_MS, "G22/d", 1)
        for fields in (received, asked):
            KINDS["status"].check(fields)
            assert fields["recipient"] == "H41"
            assert fields["document"] == {"sender": "G22", "id": "d"}
            assert fields["extension"]["content"].startswith(b"<?xml")
        assert (received["sender"], asked["sender"]) == ("H41", "G22")
        assert received["staff"]["name"] == "Nguyễn Văn A"

    def test_what_rides_along_has_its_limit(self) -> None:
        about: Fields = {"sender": "G22", "id": "d"}
        for size, code in ((EXTENSION_BYTES_MAX, None), (EXTENSION_BYTES_MAX + 1, "status.extension_too_large")):
            fields = compose.status(
                "H41", "s", about, 1, signed_ms=1, document_append_ms=1, thread="G22/d", extension=("x/y", b"x" * size)
            )
            raw = compose.encode("status", fields)
            assert identify(raw).decode(raw) == fields
            if code is None:
                KINDS["status"].check(fields)
            else:
                with pytest.raises(Rejected, match=code):
                    KINDS["status"].check(fields)


class TestBuilding:
    def built(self, folder: Path, fields: Fields, contents: list[bytes]) -> Packet:
        files = []
        for number, content in enumerate(contents):
            files.append(folder / f"file-{number}")
            files[-1].write_bytes(content)
        path = folder / "built.edxml"
        build_document(path, fields, files, organ)
        place = folder / "read"
        place.mkdir(exist_ok=True)
        return open_packet(path, place)

    def fields(self, **changes: object) -> Fields:
        contents = [PLAN, b"\0" * 300_000, b""]
        attachments = [
            compose.attachment(f"tệp <{n}> & {n}.bin", "application/octet-stream", len(one), sha256(one).digest())
            for n, one in enumerate(contents)
        ]
        made = compose.document(
            "G22", "doc-1", ["H41", "H14"], "Trích yếu <&> \"dấu\"", signed_ms=NOW_MS, issued=DAY, code=("9", "QĐ-TTg"),
            type_="QĐ", content="Hai\ndòng", signer=("Nguyễn Văn A", "Chủ tịch", None), urgency=3, due=date(2026, 2, 1),
            attachments=attachments,
            references=[{"agency": "H41", "code": "1/BC", "issued": compose.days(DAY), "id": "r-1"}],
        )  # fmt: skip
        return made | changes

    def test_it_reads_back_as_the_same_statement(self, tmp_path: Path) -> None:
        fields = self.fields()
        packet = self.built(tmp_path, fields, [PLAN, b"\0" * 300_000, b""])
        assert packet.warnings == ("N.MessageHeader.From.OrganAdd", "N.MessageHeader.To.OrganAdd")
        again = document_fields(packet, "doc-1", NOW_MS, date(2000, 1, 1))
        assert {**again, "attachments": fields["attachments"]} == fields
        read_back = [(one.name, sha256(one.content.read_bytes()).digest()) for one in packet.attachments]
        assert read_back == [(one["name"], one["sha256"]) for one in fields["attachments"]]

    @pytest.mark.parametrize("business", ["recall", "update", "replace"])
    def test_a_follow_up_names_its_document(self, tmp_path: Path, business: str) -> None:
        fields = self.fields(business=business, thread="G22/first", lane="urgent", id="doc-2", attachments=[])
        packet = self.built(tmp_path, fields, [])
        assert packet.business.type is BusinessType[business.upper()]
        assert targets(packet)[0] == "first"
        thread = Thread("G22/first", "urgent")
        assert document_fields(packet, "doc-2", NOW_MS, DAY, thread=thread) == fields

    def test_a_status(self, tmp_path: Path) -> None:
        staff = {"department": "Văn thư", "name": "A", "email": "a@example.vn", "telephone": "1"}
        fields = compose.status(
            "H41", "s", {"sender": "G22", "id": "doc-1"}, 2, signed_ms=NOW_MS, document_append_ms=5, thread="G22/doc-1",
            reason="Sai <thẩm quyền>", staff=staff,
        )  # fmt: skip
        path = tmp_path / "status.edxml"
        build_status(path, fields, "9/QĐ-TTg", organ)
        packet = open_packet(path, tmp_path)
        assert isinstance(packet.header, Status)
        assert packet.header.response_for.code == "9/QĐ-TTg"
        again = status_fields(packet, "s", NOW_MS, "G22/doc-1", 5)
        assert {**again, "extension": None} == fields


def test_a_name_that_no_file_system_takes_is_cut(tmp_path: Path) -> None:
    """Two hundred characters of Vietnamese are more than 255 bytes."""
    long = "ế" * 195 + ".docx"
    cut = _free_name(tmp_path, long, 1)
    assert cut.endswith("ế.docx")
    assert len(cut.encode()) <= NAME_BYTES_MAX
    (tmp_path / f"{cut}.part").write_bytes(b"")
    assert _free_name(tmp_path, "ngắn.pdf", 1) == "ngắn.pdf"
