"""Mutual TLS at a real gateway: the seal's certificate instead of a token, and every certificate that isn't let in."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from exchange import Agency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.errors import Misconfigured
from exchange.local.authority import DAY_MS, Authority
from exchange.local.founding import listed, now_ms, revocations
from exchange.local.issuing import Issued
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from exchange.signatures import sign_record
from exchange.statements.compose import encode
from tests.support.gateways import Served, assertion, self_signed, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

AVRO = {"content-type": "application/avro"}
BROKEN = (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError)
"""How a refused handshake looks: in TLS 1.3 the client learns of it with its first answer."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def served(exchange: Exchange, certificate: tuple[Path, Path]) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world, certificate=certificate) as one:
        yield one


@pytest.fixture(scope="module")
def sender(exchange: Exchange) -> Member:
    return exchange.member(Level.PROVINCE, 13)


@pytest.fixture(scope="module")
def recipient(exchange: Exchange) -> Member:
    return exchange.member(Level.COMMUNE, 13)


@pytest.fixture
def seal_folder(exchange: Exchange) -> Path:
    return exchange.world.home.keys / "agencies"


class Shown:
    """Clients that show a certificate."""

    def __init__(self, served: Served, ca: Path, folder: Path) -> None:
        self._served, self._ca, self._folder = served, ca, folder

    def client(self, certificate: Path | None = None, key: Path | None = None, token: str = "") -> httpx.Client:
        context = ssl.create_default_context(cafile=self._ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self._served.url, verify=context, headers=headers, timeout=30)

    def seal(self, folder: Path, token: str = "") -> httpx.Client:
        return self.client(folder / "seal.crt.pem", folder / "seal.key.pem", token)

    def issued(self, issued: Issued) -> httpx.Client:
        paths = self._folder / "shown.crt.pem", self._folder / "shown.key.pem"
        shown = x509.load_der_x509_certificate(issued.certificate)
        paths[0].write_bytes(shown.public_bytes(Encoding.PEM))
        paths[1].write_bytes(issued.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return self.client(*paths)


@pytest.fixture
def shown(served: Served, certificate: tuple[Path, Path], tmp_path: Path) -> Shown:
    return Shown(served, certificate[0], tmp_path)


def code_of(answer: httpx.Response) -> str:
    assert answer.status_code >= 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["code"])


def test_the_whole_way_without_a_token(
    served: Served, certificate: tuple[Path, Path], sender: Member, recipient: Member, seal_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "plan.pdf"
    file.write_bytes(b"plan")
    codes = sender.agency.code, recipient.agency.code
    out, into = (
        Agency(code, seal_folder / code, served.url, folder=tmp_path / code, ca=certificate[0], mutual_tls=True)
        for code in codes
    )
    with out, into:
        list(into.inbox())
        published = out.publish([file], [into.code], "Kế hoạch")
        received = next(one for one in into.inbox(follow=True) if one.fields["id"] == published.id)
        assert [path.read_bytes() for path in into.save(received, tmp_path / "saved")] == [b"plan"]
        assert out._session._token is None
    with pytest.raises(Misconfigured):
        Agency(codes[0], sender.key, served.url, folder=tmp_path / "other", mutual_tls=True)


def test_who_shows_nothing_needs_a_token(shown: Shown) -> None:
    with shown.client() as client:
        assert code_of(client.get("/v1/inbox")) == "token.missing"


def test_another_agencys_certificate(
    exchange: Exchange, served: Served, shown: Shown, sender: Member, recipient: Member, seal_folder: Path
) -> None:
    record = sign_record(encode("document", exchange.document(recipient, ["H26"])), [recipient.key])
    with shown.seal(seal_folder / sender.agency.code) as client:
        assert client.get("/v1/inbox").status_code == 200
        assert code_of(client.post("/v1/statements", content=record, headers=AVRO)) == "sender.not_yours"
    with shown.client() as client:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion(recipient.agency.code, recipient.key, served.url),
        }
        token = client.post("/v1/token", data=form).json()["access_token"]
    with shown.seal(seal_folder / recipient.agency.code, token) as client:
        assert client.get("/v1/inbox").status_code == 200
    with shown.seal(seal_folder / sender.agency.code, token) as thief:
        assert code_of(thief.get("/v1/inbox")) == "token.invalid"


def test_an_authority_that_is_not_ours(shown: Shown, sender: Member, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other")
    with shown.issued(other.issue(sender.agency.code, sender.agency.name)) as client, pytest.raises(BROKEN):
        client.get("/v1/inbox")


def test_an_expired_one(exchange: Exchange, shown: Shown, sender: Member) -> None:
    old = exchange.world.authority.issue(
        sender.agency.code, sender.agency.name, not_before_ms=now_ms() - 2 * DAY_MS, not_after_ms=now_ms() - DAY_MS
    )
    exchange.enter(listed([old]))
    with shown.issued(old) as client, pytest.raises(BROKEN):
        client.get("/v1/inbox")


def test_one_that_the_directory_does_not_list_and_a_leaders(exchange: Exchange, shown: Shown, sender: Member) -> None:
    with shown.issued(exchange.world.authority.issue(sender.agency.code, sender.agency.name)) as client:
        assert code_of(client.get("/v1/inbox")) == "certificate.unknown"
    person = next(one.leader for one in exchange.cast.by_level[Level.PROVINCE] if one.leader is not None)
    leader = exchange.world.authority.issue(person.agency, person.name, person.id)
    exchange.enter(listed([leader]))
    with shown.issued(leader) as client:
        assert wait_until(lambda: code_of(client.get("/v1/inbox")) == "assertion.not_a_seal", 10)


def test_one_revoked_while_it_is_connected(exchange: Exchange, shown: Shown) -> None:
    agency, authority = exchange.member(Level.COMMUNE, 14).agency, exchange.world.authority
    issued = authority.issue(agency.code, agency.name)
    exchange.enter(listed([issued]))
    with shown.issued(issued) as client:
        assert wait_until(lambda: client.get("/v1/inbox").status_code == 200, 10)
        authority.revoke(issued.certificate, now_ms() - 1000)
        exchange.enter([revocations(authority)])
        assert wait_until(lambda: client.get("/v1/inbox").status_code == 401, 10)
        assert code_of(client.get("/v1/inbox")) == "certificate.revoked"
