"""The axis-compatible HTTP face, against a real exchange, called as provincial clients and the national SDK do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.edxml.connector import Connector
from connectors.edxml.face import Face, FaceServer, Listening
from connectors.edxml.face.secrets import Secrets, enter
from exchange import Agency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.errors import Misconfigured
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from tests.support.edxml import PLAN, document, packed, status
from tests.support.gateways import Served, free_port, self_signed, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

HEADERS = {"X-SystemId": "QLVB", "X-SecretKey": "khoa-bi-mat"}


@dataclass
class Serving:
    """A face that answers, and the connector behind it."""

    client: httpx.Client
    connector: Connector

    @property
    def code(self) -> str:
        return self.connector.agency.code

    def send(self, packet: str) -> httpx.Response:
        """As a provincial client sends: a form with the file."""
        files = {"edocFile": ("16_VPCP-TH.edxml", packet.encode(), "application/xml")}
        return self.client.post("/v1/sendEdoc", files=files, data={"messageType": "edoc"})

    def listed(self, address: str, find: Callable[[dict[str, Any]], bool], **query: str) -> dict[str, Any]:
        """The item of a list, once it is there."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            answer = self.client.get(f"/v1/{address}", params=query).json()
            assert answer["success"], answer
            found.extend(item for item in answer["data"] if find(item))
            return bool(found)

        assert wait_until(look, 60), query
        return found[0]


@contextmanager
def face(connector: Connector, folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[Serving]:
    """Serve a connector's face until the block ends."""
    secrets = folder / "secrets.json"
    enter(secrets, HEADERS["X-SystemId"], HEADERS["X-SecretKey"])
    listening = Listening(free_port(), "127.0.0.1", *(certificate or (None, None)))
    server = FaceServer(Face(connector, Secrets(secrets)), listening)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(server.serve_and_follow())
        except BaseException as exc:  # noqa: BLE001  the test's thread raises it
            failures.append(exc)

    thread = threading.Thread(target=work, name="face")
    thread.start()
    try:
        assert wait_until(lambda: bool(failures) or server.started, 30)
        verify = True if certificate is None else ssl.create_default_context(cafile=certificate[0])
        with httpx.Client(base_url=listening.url, headers=HEADERS, timeout=60, verify=verify) as client:
            yield Serving(client, connector)
    finally:
        server.should_exit = True
        thread.join(30)
    if failures:
        raise failures[0]


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def faces(
    served: Served, exchange: Exchange, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Serving, Serving]]:
    """The face of a sender, and that of a recipient."""
    members: tuple[Member, Member] = exchange.member(Level.PROVINCE, 8), exchange.member(Level.COMMUNE, 8)
    place = tmp_path_factory.mktemp("face")
    one, other = members
    with (
        Agency(one.agency.code, one.key, served.url, folder=place / "a-agency") as a_agency,
        Agency(other.agency.code, other.key, served.url, folder=place / "b-agency") as b_agency,
        Connector(a_agency, place / "a") as a,
        Connector(b_agency, place / "b") as b,
        face(a, place / "a") as out,
        face(b, place / "b") as into,
    ):
        yield out, into


def test_the_way_of_a_provincial_client(faces: tuple[Serving, Serving]) -> None:
    out, into = faces
    packet = document(out.code, (into.code,), document_id="f,1", content=packed(PLAN))
    answer = out.send(packet).json()
    assert (answer["success"], answer["ErrorCode"]) == (True, "0")
    assert out.send(packet).json()["docId"] == answer["docId"], "sent again, it is the same"

    item = into.listed("getReceivedEdocList", lambda one: one["title"] == "V/v kế hoạch năm 2026", messageType="edoc")
    assert (item["from"], item["to"], item["status"], item["notation"]) == (
        out.code,
        into.code,
        "INITIAL",
        "16/VPCP-TH",
    )
    fetched = into.client.get("/v1/getEdoc", params={"docId": item["docId"]}).json()
    assert fetched["data"]["edxml"] == packet
    assert fetched["data"]["edocCode"] == "16/VPCP-TH"
    done = into.client.post("/v1/updateStatus", json={"docId": item["docId"], "status": "done"}).json()
    assert done["success"]
    again = into.listed("syncReceivedEdocList", lambda one: one["docId"] == item["docId"], messageType="edoc")
    assert again["status"] == "DONE"

    accepted = into.client.post("/v1/updateStatus", json={"docId": item["docId"], "status": "03"}).json()
    assert accepted["success"], accepted
    back = out.listed("getSentEdocList", lambda one: one["docId"] == answer["docId"] and one["receiveStatus"] == "03")
    assert (back["toCode"], back["sendStatus"], back["senderDocId"]) == (into.code, "DONE", "f,1")
    told = out.listed("getReceivedEdocList", lambda one: one["notation"] == "16/VPCP-TH", messageType="status")
    shown = out.client.get("/v1/getEdoc", params={"docId": told["docId"]}).json()["data"]["edxml"]
    assert "<edXML:StatusCode>03</edXML:StatusCode>" in shown


def test_the_way_of_the_national_sdk(faces: tuple[Serving, Serving]) -> None:
    """The body is the packet, parameters are headers, the answer has its words, `data` is base64."""
    out, into = faces
    packet = document(out.code, (into.code,), document_id="f,2", number="17")
    said = {"content-type": "application/octet-stream", "servicetype": "eDoc", "messagetype": "edoc"}
    answer = out.client.post("/sendEdoc", content=packet.encode(), headers=said).json()
    assert (answer["status"], answer["ErrorCode"], answer["DocId"]) == ("OK", "0", answer["docId"])
    item = into.listed("getReceivedEdocList", lambda one: one["notation"] == "17/VPCP-TH")
    listed = into.client.post("/getReceivedEdocList", headers={"messagetype": "edoc", "servicetype": "eDoc"}).json()
    assert item["docId"] in [one["docId"] for one in listed["data"]]
    fetched = into.client.post("/getEdoc", headers={"docId": item["docId"]}).json()
    assert base64.b64decode(fetched["data"]).decode() == packet
    reply = status(into.code, out.code, "02", document_id="f,2", description="Sai thẩm quyền")
    assert (
        into.client.post("/sendEdoc", content=reply.encode(), headers=said | {"messagetype": "status"}).json()["status"]
        == "OK"
    )
    back = out.listed("getSentEdocList", lambda one: one["docId"] == answer["docId"] and one["receiveStatus"] == "02")
    assert back["receiveStatusDesc"] == "Sai thẩm quyền"


def test_agencies(faces: tuple[Serving, Serving]) -> None:
    out, _ = faces
    answer = out.client.get("/v1/getAgenciesList").json()
    by_code = {one["orgCode"]: one for one in answer["data"]}
    assert answer["count"] == len(by_code) > 11_000
    assert (by_code["H26"]["code102"], by_code["H26"]["id"]) == ("000.00.00.H26", "H26")
    assert "Hà Nội" in by_code["H26"]["name"]


@pytest.mark.parametrize(
    ("code", "ours", "packet"),
    [
        ("22", "edxml.field_missing N.MessageHeader.Code.CodeNumber", document("{out}", ("{into}",), number="")),
        ("22", "edxml.dtd", document("{out}", ("{into}",)).replace("<edXML ", "<!DOCTYPE edXML><edXML ", 1)),
        ("22", "text.too_long", document("{out}", ("{into}",), subject="x" * 501)),
        ("21", "edxml.base64", document("{out}", ("{into}",), content="AAA")),
        ("21", "edxml.zip_damaged", document("{out}", ("{into}",), content=packed(PLAN)[:-8])),
        ("10", "edxml.no_file", ""),
        ("18", "recipient.unknown", document("{out}", ("H99.NOBODY",))),
        ("19", "edxml.sender_not_ours", document("G15", ("{into}",))),
    ],
)
def test_provincial_codes(faces: tuple[Serving, Serving], code: str, ours: str, packet: str) -> None:
    out, into = faces
    text = packet.replace("{out}", out.code).replace("{into}", into.code)
    answer = out.client.post("/v1/sendEdoc", content=text.encode(), headers={"content-type": "application/xml"})
    said = answer.json()
    assert (answer.status_code, said["success"], said["data"]["errorCode"], said["ErrorCode"]) == (
        200,
        False,
        code,
        code,
    )
    assert f"[{ours}]" in said["message"]


def test_whoever_knows_no_secret_learns_nothing(faces: tuple[Serving, Serving]) -> None:
    out, _ = faces
    with httpx.Client(base_url=out.client.base_url, timeout=30) as stranger:
        for headers in (
            {},
            {**HEADERS, "X-SecretKey": "x"},
            {**HEADERS, "X-SystemId": "other"},
            {"X-SecretKey": "x" * 999},
        ):
            for method, address in (("POST", "/v1/sendEdoc"), ("GET", "/v1/getReceivedEdocList"), ("GET", "/getEdoc")):
                answer = stranger.request(method, address, headers=headers)
                assert (answer.status_code, answer.json()["ErrorCode"]) == (401, "15")
        assert stranger.get("/metrics").status_code == 200
        assert stranger.get("/openapi.json").status_code == 404


@pytest.mark.parametrize(
    ("address", "query"),
    [
        ("getReceivedEdocList", {"fromDate": "hôm qua"}),
        ("getReceivedEdocList", {"pageSize": "-1"}),
        ("getSentEdocList", {"pageIndex": "x"}),
        ("getEdoc", {"docId": "../book"}),
        ("getEdoc", {}),
    ],
)
def test_misuse(faces: tuple[Serving, Serving], address: str, query: dict[str, str]) -> None:
    out, _ = faces
    answer = out.client.get(f"/v1/{address}", params=query)
    assert (answer.status_code, answer.json()["ErrorCode"]) == (200, "22")
    wrong = out.client.post("/v1/updateStatus", content=b"[1]", headers={"content-type": "application/json"})
    assert wrong.json()["ErrorCode"] == "22"


def test_lists_by_day_and_page(faces: tuple[Serving, Serving]) -> None:
    out, into = faces
    for number in range(3):
        assert out.send(document(out.code, (into.code,), document_id=f"f,p{number}", number=f"9{number}")).json()[
            "success"
        ]
    today = time.strftime("%Y/%m/%d", time.gmtime(time.time() + 7 * 3600))
    pages = [
        out.client.get(
            "/v1/getSentEdocList", params={"fromDate": today, "toDate": today, "pageSize": 1, "pageIndex": n}
        )
        for n in (1, 2, 3)
    ]
    assert [page.json()["data"][0]["notation"] for page in pages] == ["92/VPCP-TH", "91/VPCP-TH", "90/VPCP-TH"]
    assert out.client.get("/v1/getSentEdocList", params={"toDate": "2020/01/01"}).json()["data"] == []


def test_a_packet_beyond_the_limit_is_not_read(faces: tuple[Serving, Serving]) -> None:
    """By what it declares; or when it has become too much, and then the connection ends."""
    out, _ = faces
    lines = [
        "POST /v1/sendEdoc HTTP/1.1",
        "host: x",
        "content-length: 99999999",
        *(f"{k}: {v}" for k, v in HEADERS.items()),
    ]
    with socket.create_connection((out.client.base_url.host, out.client.base_url.port or 0), 30) as raw:
        raw.sendall("\r\n".join([*lines, "", ""]).encode())
        told = b"".join(iter(lambda: raw.recv(4096), b""))
    assert b'"ErrorCode":"10"' in told
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 2**20
            yield b"x" * 2**20

    with contextlib.suppress(httpx.TransportError):  # it may be broken off while we still send
        answer = out.client.post("/v1/sendEdoc", content=endless(), headers={"content-type": "application/xml"})
        assert answer.json()["ErrorCode"] == "10"
    assert sent < 80 * 2**20


def test_tls_except_on_the_loopback_address(
    served: Served, exchange: Exchange, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(Misconfigured, match="without TLS"):
        Listening(8481, "0.0.0.0")  # noqa: S104
    member = exchange.member(Level.COMMUNE, 9)
    with (
        Agency(member.agency.code, member.key, served.url, folder=tmp_path / "agency") as agency,
        Connector(agency, tmp_path / "connector") as connector,
        face(connector, tmp_path, self_signed(tmp_path_factory.mktemp("tls"))) as secure,
    ):
        assert secure.client.base_url.scheme == "https"
        assert secure.client.get("/v1/getReceivedEdocList").json()["success"]
