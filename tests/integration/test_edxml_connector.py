"""The edXML connector against a real gateway and exchange: packets in, the same packets out, and what is in between."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TypeVar

import pytest
from typer.testing import CliRunner

from connectors.edxml.book import PREPARED, REFUSED, SENT
from connectors.edxml.connector import Connector, Leading
from connectors.edxml.packet import Status, open_packet
from exchange import Agency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.cli.app import app
from exchange.errors import Rejected
from exchange.local.founding import listed
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from exchange.sdk import GatewayRefused, compose
from exchange.statements import identify
from tests.support.edxml import PLAN, document, packed, status
from tests.support.gateways import Served, free_port, serving
from tests.support.running import Exchange
from tests.support.tokens import Token

pytestmark = pytest.mark.integration

SETTLE_S = 60.0
Connected = tuple[Connector, Connector]
T = TypeVar("T")


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def sender(exchange: Exchange) -> Member:
    return exchange.member(Level.PROVINCE, 6)


@pytest.fixture(scope="module")
def recipient(exchange: Exchange) -> Member:
    return exchange.member(Level.COMMUNE, 6)


@pytest.fixture(scope="module")
def connected(
    served: Served, sender: Member, recipient: Member, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connected]:
    """The connectors of a sender and of a recipient, with nothing in their inboxes."""
    place = tmp_path_factory.mktemp("edxml")
    with (
        Agency(sender.agency.code, sender.key, served.url, folder=place / "out-agency") as out_agency,
        Agency(recipient.agency.code, recipient.key, served.url, folder=place / "into-agency") as into_agency,
        Connector(out_agency, place / "out") as out,
        Connector(into_agency, place / "into") as into,
    ):
        yield out, into


@pytest.fixture
def both(connected: Connected) -> Connected:
    for connector in connected:
        connector.receive()
    return connected


def written(folder: Path, text: str) -> Path:
    path = folder / "sent.edxml"
    path.write_text(text, encoding="utf-8")
    return path


def arrived(connector: Connector, find: Callable[[], T | None]) -> T:
    """What `find` finds in the book once it has arrived."""
    found: list[T] = []

    def look() -> bool:
        connector.receive()
        if one := find():
            found.append(one)
        return bool(found)

    assert wait_until(look, SETTLE_S)
    return found[0]


def test_a_packet_arrives_byte_for_byte_and_its_statuses_come_back(both: Connected, tmp_path: Path) -> None:
    out, into = both
    source = written(tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,1", content=packed(PLAN)))
    sent = out.send(source)
    assert sent.state == SENT
    assert out.send(source) == sent, "the same packet again is the same statement"
    got = arrived(into, lambda: into.book.received_about(out.agency.code, "d,1", ""))
    assert into.packet(got.doc_id).read_bytes() == source.read_bytes()
    assert (got.number, got.subject) == ("16/VPCP-TH", "V/v kế hoạch năm 2026")
    assert len(into.book.received_list("edoc", got.created_ms, got.created_ms + 1, 10, 0)) == 1

    receipt = written(
        tmp_path, status(into.agency.code, out.agency.code, "03", document_id="d,1", description="Vào sổ")
    )
    into.send(receipt)
    [back] = arrived(out, lambda: out.book.received_list("status", 0, 1 << 62, 1, 0) or None)
    assert out.packet(back.doc_id).read_bytes() == receipt.read_bytes()
    [said] = out.book.said(sent.thread)
    assert (said.recipient, said.code, said.reason) == (into.agency.code, 3, "Vào sổ")


def test_the_packet_travels_with_what_it_holds(both: Connected, tmp_path: Path) -> None:
    """A recipient without a connector gets the files themselves, and the packet beside them."""
    out, into = both
    source = written(tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,2", content=packed(PLAN)))
    sent = out.send(source)
    received = next(into.agency.inbox(follow=True, kinds=["document"]))
    assert received.fields["id"] == sent.doc_id
    assert [one["name"] for one in received.fields["attachments"]] == ["kế hoạch.txt", "packet.edxml"]
    assert (received.fields["type"], received.fields["code_number"]) == ("QĐ", "16")
    saved = into.agency.save(received, tmp_path / "saved")
    assert [path.read_bytes() for path in saved] == [PLAN, source.read_bytes()]


def test_a_document_of_another_system_becomes_a_packet(both: Connected, tmp_path: Path) -> None:
    out, into = both
    file = tmp_path / "phụ lục.txt"
    file.write_bytes(PLAN)
    published = out.agency.publish(
        [file], [into.agency.code], "Văn bản <gốc> & khác", code=("7", "UBND-VX"), type_="TB", urgency=2,
        signer=("Nguyễn Văn A", "Chánh Văn phòng", None),
    )  # fmt: skip
    got = arrived(into, lambda: into.book.received_about(out.agency.code, published.id, ""))
    packet = open_packet(into.packet(got.doc_id), tmp_path)
    header = packet.document
    assert (packet.sender.id, [organ.id for organ in header.to]) == (out.agency.code, [into.agency.code])
    assert (packet.sender.name, header.document_id) == (published_name(out), published.id)
    assert (header.subject, header.number, header.notation) == ("Văn bản <gốc> & khác", "7", "UBND-VX")
    assert (header.type_name, header.priority, header.signer) == ("Thông báo", 2, "Nguyễn Văn A")
    assert [(one.name, one.content.read_bytes()) for one in packet.attachments] == [("phụ lục.txt", PLAN)]

    into.acknowledge(got.doc_id, 2, "Sai thẩm quyền")
    [back] = arrived(
        out, lambda: [r for r in out.book.received_list("status", 0, 1 << 62, 9, 0) if r.thread == got.thread]
    )
    said = open_packet(out.packet(back.doc_id), tmp_path)
    assert isinstance(said.header, Status)
    assert (said.sender.id, said.header.code, said.header.description) == (into.agency.code, 2, "Sai thẩm quyền")
    assert said.header.response_for.document_id == published.id


def published_name(connector: Connector) -> str:
    found = connector.agency.look_up(connector.agency.code)
    assert found is not None
    return str(found["name"])


def test_a_recall_goes_on_with_its_thread(both: Connected, tmp_path: Path) -> None:
    out, into = both
    first = out.send(written(tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,4")))
    recall = "<e:BussinessDocType>1</e:BussinessDocType><e:DocumentId>d,4</e:DocumentId>"
    sent = out.send(
        written(tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,4b", business=recall))
    )
    assert sent.thread == first.thread
    got = arrived(into, lambda: into.book.received_about(out.agency.code, "d,4b", ""))
    assert got.thread == first.thread
    agreed = into.send(written(tmp_path, status(into.agency.code, out.agency.code, "15", document_id="d,4b")))
    assert agreed.state == SENT
    said = arrived(out, lambda: next((one for one in out.book.said(first.thread) if one.code == 15), None))
    assert said.recipient == into.agency.code


def test_a_crash_between_sending_and_remembering(
    both: Connected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange has it, the book doesn't say so: sent again, it is the same statement, and arrives once."""
    out, into = both
    source = written(tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,crash"))

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(out.book, "mark", dies)
    with pytest.raises(KeyboardInterrupt):
        out.send(source)
    monkeypatch.undo()
    assert [one.document_id for one in out.book.prepared()] == ["d,crash"]
    assert out.send(source).state == SENT
    assert arrived(into, lambda: into.book.received_about(out.agency.code, "d,crash", ""))
    out.send(written(tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,after")))
    assert arrived(into, lambda: into.book.received_about(out.agency.code, "d,after", ""))
    came = [one for one in into.book.received_list("edoc", 0, 1 << 62, 99, 0) if one.document_id == "d,crash"]
    assert len(came) == 1


def test_a_replacement_of_two_documents(both: Connected, tmp_path: Path) -> None:
    """One statement in each thread; all with the same packet."""
    out, into = both
    firsts = [
        out.send(written(tmp_path, document(out.agency.code, (into.agency.code,), document_id=f"d,5{n}", number=n)))
        for n in "ab"
    ]
    old = "<e:ReplacementInfo><e:DocumentId>d,5{}</e:DocumentId></e:ReplacementInfo>"
    business = "<e:BussinessDocType>3</e:BussinessDocType><e:ReplacementInfoList>"
    business += f"{old.format('a')}{old.format('b')}</e:ReplacementInfoList>"
    source = written(tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,5c", business=business))
    sent = out.send(source)
    assert out.send(source) == sent
    assert out.book.prepared() == []

    def both_came() -> list[str] | None:
        rows = [one for one in into.book.received_list("edoc", 0, 1 << 62, 99, 0) if one.document_id == "d,5c"]
        return [one.doc_id for one in rows] if {one.thread for one in rows} == {one.thread for one in firsts} else None

    for doc_id in arrived(into, both_came):
        assert into.packet(doc_id).read_bytes() == source.read_bytes()


def test_an_attachment_that_is_gone_holds_up_nobody(
    both: Connected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, into = both

    def gone(*_: object) -> list[Path]:
        raise GatewayRefused("attachment.missing", "", 404, [])

    out.send(written(tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,3", number="3")))
    monkeypatch.setattr(into.agency, "save", gone)

    def letters() -> list[Path]:
        """Of this: others' tests may have sent what only somebody else can read."""
        whys = ((letter, letter.with_suffix(".json")) for letter in into.dead_letters.glob("*.statement"))
        return [one for one, why in whys if json.loads(why.read_text("utf-8"))["code"] == "attachment.missing"]

    [letter] = arrived(into, letters)
    assert identify(letter.read_bytes()).name == "document"
    monkeypatch.undo()
    out.send(written(tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,3b", number="3")))
    assert arrived(into, lambda: into.book.received_about(out.agency.code, "d,3b", ""))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("edxml.sender_not_ours", document("G15", ("G22",))),
        ("recipient.unknown", document("{out}", ("H99.NOBODY",))),
        ("agency.code_malformed", document("{out}", ("một đơn vị",))),
        ("edxml.target_unknown", document("{out}", ("{into}",), business="<e:BussinessDocType>1</e:BussinessDocType>")),
        ("edxml.target_unknown", status("{out}", "{into}", "03", document_id="none", number="1/NONE")),
        ("text.too_long", document("{out}", ("{into}",), subject="x" * 501)),
    ],
)
def test_what_is_refused_is_a_dead_letter(both: Connected, tmp_path: Path, code: str, text: str) -> None:
    out, into = both
    source = written(tmp_path, text.replace("{out}", out.agency.code).replace("{into}", into.agency.code))
    before = set(out.dead_letters.iterdir())
    with pytest.raises(Rejected) as caught:
        out.send(source)
    assert caught.value.code == code
    letter, why = sorted(set(out.dead_letters.iterdir()) - before)
    assert letter.read_bytes() == source.read_bytes()
    assert json.loads(why.read_text("utf-8"))["code"] == code
    assert out.agency.waiting == 0


def test_a_notice_says_that_a_packet_was_refused(both: Connected, exchange: Exchange, tmp_path: Path) -> None:
    """What only the exchange can know: here, that the thread's lane isn't the packet's."""
    out, into = both
    first = out.send(written(tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,6")))
    recall = "<e:BussinessDocType>1</e:BussinessDocType><e:DocumentId>d,6</e:DocumentId>"
    stranger = exchange.member(Level.COMMUNE, 7).agency.code
    sent = out.send(written(tmp_path, document(out.agency.code, (stranger,), document_id="d,6b", business=recall)))
    assert (sent.state, sent.thread) == (SENT, first.thread)
    refused = arrived(out, lambda: one if (one := out.book.sent(sent.doc_id)) and one.state == REFUSED else None)
    assert refused.code == "recall.not_a_recipient"


def test_a_packet_that_says_other_than_its_statement(both: Connected, tmp_path: Path) -> None:
    """Two recipients may not see two documents: the packet is set aside, what was signed is handed out."""
    out, into = both
    packet = written(
        tmp_path, document(out.agency.code, (into.agency.code,), document_id="d,7", subject="Nội dung khác")
    )
    fields = compose.document(
        out.agency.code,
        "differs-1",
        [into.agency.code],
        "Nội dung đã ký",
        signed_ms=_now_ms(),
        issued=date(2026, 1, 15),
    )
    out.agency.state("document", fields, [("packet.edxml", packet)])
    got = arrived(into, lambda: into.book.received_about(out.agency.code, "differs-1", ""))
    shown = open_packet(into.packet(got.doc_id), tmp_path)
    assert shown.document.subject == "Nội dung đã ký"
    why = json.loads((into.dead_letters / f"{got.doc_id}.json").read_text("utf-8"))
    assert why["code"] == "edxml.differs"
    assert (into.dead_letters / f"{got.doc_id}.edxml").read_bytes() == packet.read_bytes()


def test_while_the_exchange_is_away(served: Served, sender: Member, recipient: Member, tmp_path: Path) -> None:
    """What was taken goes out later, once, over a restart of the connector."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    source = written(tmp_path, document(sender.agency.code, (recipient.agency.code,), document_id="d,8"))
    folder = tmp_path / "out"
    with (
        Agency(sender.agency.code, sender.key, nowhere, folder=folder / "agency", patience_s=0) as agency,
        Connector(agency, folder) as connector,
    ):
        assert connector.send(source).state == PREPARED
        assert agency.waiting == 1
        other = written(
            tmp_path, document(sender.agency.code, (recipient.agency.code,), document_id="d,8b", number="8")
        )
        later = connector.send(other)
        source.write_text(document(sender.agency.code, (recipient.agency.code,), document_id="d,8"), "utf-8")
    with (
        Agency(sender.agency.code, sender.key, served.url, folder=folder / "agency") as agency,
        Connector(agency, folder) as connector,
        Agency(recipient.agency.code, recipient.key, served.url, folder=tmp_path / "into-agency") as into_agency,
        Connector(into_agency, tmp_path / "into") as into,
    ):
        assert connector.send(source).state == SENT
        arrived(into, lambda: into.book.received_about(sender.agency.code, "d,8", ""))
        connector.receive()
        assert [one.doc_id for one in connector.book.prepared()] == []
        waited = connector.book.sent(later.doc_id)
        assert waited is not None
        assert waited.state == SENT
        assert len([r for r in into.book.received_list("edoc", 0, 1 << 62, 99, 0) if r.document_id == "d,8"]) == 1


def test_a_leader_signs_along(
    served: Served, exchange: Exchange, both: Connected, sender: Member, tmp_path: Path
) -> None:
    """The statement asks for the leader's signature, so nobody can take it away."""
    _, into = both
    assert sender.leader is not None
    assert sender.leader_key is not None
    leading = Leading(sender.leader.id, sender.leader_key)
    with (
        Agency(sender.agency.code, sender.key, served.url, folder=tmp_path / "agency") as agency,
        Connector(agency, tmp_path / "led", leading=leading) as connector,
    ):
        source = written(tmp_path, document(sender.agency.code, (into.agency.code,), document_id="d,9"))
        sent = connector.send(source)
        received = next(one for one in into.agency.inbox(follow=True) if one.fields["id"] == sent.doc_id)
        assert received.fields["signer"]["leader"] == sender.leader.id
        home = ["--home", str(exchange.world.home.folder)]

        sending = sender.leader

        def shown() -> bool:
            done = CliRunner().invoke(app, [*home, "trace", sent.doc_id, "--json"])
            return done.exit_code == 0 and json.loads(done.stdout)["leaders"] == [sending.id]

        assert wait_until(shown, SETTLE_S)


def test_the_key_is_in_a_token(
    served: Served, exchange: Exchange, both: Connected, sender: Member, token: Token, tmp_path: Path
) -> None:
    """It signs the token request and the statement alike; the trace says that it was the connector's."""
    _, into = both
    issued = exchange.world.authority.issue(sender.agency.code, "Bộ kết nối edXML", connector=True)
    exchange.enter(listed([issued]))
    token.take(issued, "connector")
    folder = token.folder("connector", issued, "connector")
    assert not (folder / "seal.key.pem").exists()
    source = written(tmp_path, document(sender.agency.code, (into.agency.code,), document_id="d,10"))
    with (
        Agency(sender.agency.code, folder, served.url, folder=tmp_path / "agency") as agency,
        Connector(agency, tmp_path / "connector") as connector,
    ):
        sent = connector.send(source)
        assert sent.state == SENT
        got = arrived(into, lambda: into.book.received_about(sender.agency.code, "d,10", ""))
        assert wait_until(lambda: _seal_of(agency, sent.doc_id) == "connector", SETTLE_S)
    assert into.packet(got.doc_id).read_bytes() == source.read_bytes()


def _seal_of(agency: Agency, statement_id: str) -> str:
    """What the trace says of who sealed a document of the agency's."""
    try:
        path = agency.trace(statement_id)
    except GatewayRefused as exc:
        return exc.code
    return str(path["roles"].get(path["document"]["entry"]["certificate"])) if path["document"] else ""


def _now_ms() -> int:
    return int(time.time() * 1000)
