"""Time-stamps: what isn't exactly an authority's word about this digest is refused, by code; OpenSSL agrees."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from hashlib import sha256, sha512
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from asn1crypto import cms, tsp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.errors import Misconfigured, Rejected, Unavailable
from exchange.ledger.stamps import TimeStamper, ask, claim, verify_stamp
from exchange.ledger.stamps.asking import QUERY, REPLY, Response, read_response, request
from exchange.ledger.stamps.granting import POLICY
from exchange.local.authority import DAY_MS, Authority
from exchange.local.issuing import Issued, Issuer, Usage, build, new_key, subject
from exchange.signatures import SigningKey
from tests.support.signing import NOW_MS
from tests.support.stamping import stamper

CONTENT = b"a checkpoint\n"
DIGEST = sha256(CONTENT).digest()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.generate(Path("never-written"), now_ms=NOW_MS)


@pytest.fixture(scope="module")
def token(authority: Authority) -> bytes:
    return stamper(authority, NOW_MS).grant(DIGEST)


def refused(token: bytes, authority: Authority, digest: bytes = DIGEST) -> str:
    with pytest.raises(Rejected) as caught:
        verify_stamp(token, digest, [authority.root_certificate])
    return caught.value.code


def certified(authority: Authority, usage: Usage, name: str = "TSA", by: Issued | None = None) -> Issued:
    """A certificate of another usage, by the root or by `by`."""
    above = by or authority.root
    issuer = Issuer(x509.load_der_x509_certificate(above.certificate).subject, above.private_key)
    key, validity = new_key("p256"), (NOW_MS - DAY_MS, NOW_MS + DAY_MS)
    return Issued(build(issuer, subject(name), key.public_key(), validity, usage), key, "x", None)


def test_a_stamp_says_when(authority: Authority, token: bytes) -> None:
    stamp = verify_stamp(token, DIGEST, [authority.root_certificate])
    assert (stamp.time_ms, stamp.policy, stamp.nonce) == (NOW_MS, POLICY, None)
    assert stamp.ends_ms == NOW_MS + 3649 * DAY_MS + 999
    assert stamp.path[-1] == authority.root_certificate
    assert "Time-Stamps" in stamp.authority
    assert claim(token).digest == "sha256"
    longer = stamper(authority, NOW_MS).grant(sha512(CONTENT).digest(), "sha512")
    assert claim(longer).digest == "sha512"
    assert verify_stamp(longer, sha512(CONTENT).digest(), [authority.root_certificate]).time_ms == NOW_MS


def test_no_byte_can_differ(authority: Authority, token: bytes) -> None:
    for at in range(len(token)):
        code = refused(token[:at] + bytes([token[at] ^ 1 << at % 8]) + token[at + 1 :], authority)
        assert code.startswith("stamp."), (at, code)
    for wrong in (b"", b"\x30", token[:-1], token + b"\0", b"\x30\x80" + token[4:], b"\x30" * 5000, bytes(70_000)):
        assert refused(wrong, authority) in {"stamp.malformed", "stamp.too_large"}


@settings(max_examples=300, deadline=None, database=None)
@given(st.data())
def test_any_bytes_are_refused_by_code(authority: Authority, token: bytes, data: st.DataObject) -> None:
    """Bytes at will, and a token with a piece replaced, lengths made to fit or not."""
    start, end = sorted((data.draw(st.integers(0, len(token))), data.draw(st.integers(0, len(token)))))
    piece = data.draw(st.binary(max_size=40) | st.just(token[end:start:-1]) | st.just(token))
    for wrong in (piece, token[:start] + piece + token[end:], token[:start] + piece[: end - start] + token[end:]):
        if wrong != token:
            assert refused(wrong, authority).startswith("stamp.")


def test_of_another_thing_or_authority(authority: Authority, token: bytes) -> None:
    assert refused(token, authority, sha256(b"another").digest()) == "stamp.other_content"
    assert refused(token, Authority.generate(Path("x"), now_ms=NOW_MS)) == "stamp.unknown_authority"
    with pytest.raises(Rejected, match="unknown_authority"):
        verify_stamp(token, DIGEST, [])


@pytest.mark.parametrize("usage", ["sign", "certify", "everything", "encrypt"])
def test_a_certificate_that_is_not_for_stamps(authority: Authority, usage: Usage) -> None:
    assert refused(stamper(authority, NOW_MS, issued=certified(authority, usage)).grant(DIGEST), authority) == (
        "stamp.wrong_usage"
    )
    fine = certified(authority, "stamp")
    made = stamper(authority, NOW_MS, issued=fine).grant(DIGEST)
    assert verify_stamp(made, DIGEST, [authority.root_certificate]).time_ms == NOW_MS


def test_made_outside_its_certificate(authority: Authority) -> None:
    one = authority.certify_stamps(NOW_MS, NOW_MS + DAY_MS)
    for at_ms, code in ((NOW_MS - 1000, "stamp.expired"), (NOW_MS + DAY_MS + 1000, "stamp.expired")):
        assert refused(stamper(authority, at_ms, issued=one).grant(DIGEST), authority) == code
    for at_ms in (NOW_MS, NOW_MS + DAY_MS):
        made = stamper(authority, at_ms, issued=one).grant(DIGEST)
        assert verify_stamp(made, DIGEST, [authority.root_certificate]).time_ms == at_ms


def test_certified_by_who_may_not_certify(authority: Authority) -> None:
    leaf = certified(authority, "sign", "Nobody")
    made = stamper(authority, NOW_MS, issued=certified(authority, "stamp", by=leaf)).grant(DIGEST)
    assert refused(with_certificates(made, leaf.certificate), authority) == "stamp.unknown_authority"
    between = certified(authority, "certify", "Between")
    made = stamper(authority, NOW_MS, issued=certified(authority, "stamp", by=between)).grant(DIGEST)
    assert refused(made, authority) == "stamp.unknown_authority"
    stamp = verify_stamp(with_certificates(made, between.certificate), DIGEST, [authority.root_certificate])
    assert len(stamp.path) == 3


def with_certificates(token: bytes, *more: bytes) -> bytes:
    """The token with further certificates in it."""
    content = cms.ContentInfo.load(token)
    held = [one.chosen.dump() for one in content["content"]["certificates"]] + list(more)
    chosen = [cms.CertificateChoices("certificate", cms.Certificate.load(der)) for der in sorted(held)]
    content["content"]["certificates"] = cms.CertificateSet(chosen)
    made: bytes = content.dump()
    return made


def test_what_nobody_needs_is_refused_and_left_out_by_the_asker(authority: Authority) -> None:
    nonce = 7
    response = Response.load(stamper(authority, NOW_MS).answer(request(DIGEST, "sha256", nonce)))
    fat = with_certificates(response["time_stamp_token"].dump(), authority.issuing_certificate)
    assert refused(fat, authority) == "stamp.surplus"
    answer = Response({"status": {"status": "granted"}, "time_stamp_token": cms.ContentInfo.load(fat)}).dump()
    slim = read_response(answer, DIGEST, nonce, POLICY, [authority.root_certificate])
    assert verify_stamp(slim, DIGEST, [authority.root_certificate]).nonce == nonce
    for wrong, policy, code in ((8, POLICY, "stamp.nonce"), (nonce, "1.2.3", "stamp.policy")):
        with pytest.raises(Rejected) as caught:
            read_response(answer, DIGEST, wrong, policy, [authority.root_certificate])
        assert caught.value.code == code


def signed_again(token: bytes, issued: Issued, change: Any) -> bytes:  # noqa: ANN401
    """The token changed and signed anew with the same key, as its owner could."""
    content = cms.ContentInfo.load(token)
    info = content["content"]["signer_infos"][0]
    change(content["content"], info)
    data = info["signed_attrs"].dump()
    key = SigningKey.of(issued.private_key, issued.certificate)
    info["signature"] = key.sign(b"\x31" + bytes(data)[1:])
    made: bytes = content.dump(force=True)
    return made


def test_what_the_signer_says_wrongly(authority: Authority) -> None:
    one = authority.certify_stamps(NOW_MS - DAY_MS, NOW_MS + DAY_MS)
    token = stamper(authority, NOW_MS, issued=one).grant(DIGEST)

    def without(name: str) -> Any:  # noqa: ANN401
        def change(_: Any, info: Any) -> None:  # noqa: ANN401
            kept = [attribute for attribute in info["signed_attrs"] if attribute["type"].native != name]
            info["signed_attrs"] = cms.CMSAttributes(kept)

        return change

    def another_certificate(_: Any, info: Any) -> None:  # noqa: ANN401
        for attribute in info["signed_attrs"]:
            if attribute["type"].native == "signing_certificate_v2":
                attribute["values"] = [tsp.SigningCertificateV2({"certs": [{"cert_hash": bytes(32)}]})]

    def two_signers(signed: Any, info: Any) -> None:  # noqa: ANN401
        signed["signer_infos"].append(info.copy())

    def sha1(signed: Any, info: Any) -> None:  # noqa: ANN401
        info["digest_algorithm"]["algorithm"] = "sha1"
        signed["digest_algorithms"][0]["algorithm"] = "sha1"

    assert refused(signed_again(token, one, lambda *_: None), authority, bytes(32)) == "stamp.other_content"
    again = signed_again(token, one, lambda *_: None)
    assert verify_stamp(again, DIGEST, [authority.root_certificate]).time_ms == NOW_MS
    for change, code in (
        (without("content_type"), "stamp.attributes"),
        (without("message_digest"), "stamp.attributes"),
        (without("signing_certificate_v2"), "stamp.attributes"),
        (another_certificate, "stamp.attributes"),
        (two_signers, "stamp.signers"),
        (sha1, "stamp.algorithm"),
    ):
        assert refused(signed_again(token, one, change), authority) == code


def test_openssl_reads_ours_and_we_read_its(authority: Authority, tmp_path: Path) -> None:
    def openssl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["openssl", *arguments], cwd=tmp_path, capture_output=True, check=False)

    (tmp_path / "data").write_bytes(CONTENT)
    one = authority.certify_stamps(NOW_MS - DAY_MS, NOW_MS + DAY_MS)
    pems = {"root": authority.root_certificate, "tsa": one.certificate}
    for name, der in pems.items():
        (tmp_path / f"{name}.pem").write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    (tmp_path / "ours").write_bytes(stamper(authority, NOW_MS, issued=one).grant(DIGEST))
    check = ["ts", "-verify", "-data", "data", "-in", "ours", "-token_in", "-CAfile", "root.pem", "-attime"]
    assert openssl(*check, str(NOW_MS // 1000)).returncode == 0
    assert openssl(*check, str(NOW_MS // 1000 + 2 * 86_400)).returncode != 0
    key = one.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "tsa.key").write_bytes(key)
    (tmp_path / "serial").write_text("01\n")
    (tmp_path / "ts.cnf").write_text(
        "[tsa]\ndefault_tsa=t\n[t]\nserial=./serial\ndefault_policy=1.2.3.4\ndigests=sha256,sha512\nsigner_digest=sha256\n"
        "accuracy=secs:1\ness_cert_id_alg=sha256\n"
    )
    (tmp_path / "asked").write_bytes(request(DIGEST, "sha256", 77))
    # Its clock is this machine's, and so must its certificate be.
    now = authority.certify_stamps(int(Path(tmp_path / "data").stat().st_mtime * 1000) - DAY_MS, NOW_MS + 6000 * DAY_MS)
    (tmp_path / "tsa.pem").write_bytes(x509.load_der_x509_certificate(now.certificate).public_bytes(Encoding.PEM))
    key = now.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "tsa.key").write_bytes(key)
    reply = "ts -reply -config ts.cnf -queryfile asked -signer tsa.pem -inkey tsa.key -out answer"
    done = openssl(*reply.split())
    assert done.returncode == 0, done.stderr
    answer = (tmp_path / "answer").read_bytes()
    token = read_response(answer, DIGEST, 77, "1.2.3.4", [authority.root_certificate])
    assert verify_stamp(token, DIGEST, [authority.root_certificate]).policy == "1.2.3.4"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (b"", "bad_data_format"),
        (b"x" * 5000, "bad_data_format"),
        (request(DIGEST[:20], "sha1", 1), "bad_alg"),
        (request(DIGEST[:31], "sha256", 1), "bad_alg"),
        (request(DIGEST, "sha256", 1, "1.2.3"), "unaccepted_policy"),
    ],
)
def test_the_authority_refuses(authority: Authority, asked: bytes, reason: str) -> None:
    answer = stamper(authority, NOW_MS).answer(asked)
    status = Response.load(answer)["status"].native
    assert (status["status"], status["fail_info"]) == ("rejection", {reason})
    with pytest.raises(Unavailable) as caught:
        read_response(answer, DIGEST, 1, None, [authority.root_certificate])
    assert caught.value.code == "tsa.refused"


class Server:
    """An HTTP server that answers as a test says."""

    def __init__(self) -> None:
        self.answer: Callable[[bytes], tuple[int, str, bytes]] = lambda _: (200, REPLY, b"")
        self.stalls, self.may_end = False, Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.headers["Content-Type"] == QUERY
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.stalls:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    outer.may_end.wait(30)
                    return
                status, kind, data = outer.answer(body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def close(self) -> None:
        self.may_end.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


def test_asked_over_http(authority: Authority, server: Server) -> None:
    tsa: TimeStamper = stamper(authority, NOW_MS)
    server.answer = lambda body: (200, REPLY, tsa.answer(body))
    anchors = [authority.root_certificate]
    token = ask(server.url, CONTENT, anchors, policy=POLICY)
    assert verify_stamp(token, DIGEST, anchors).time_ms == NOW_MS
    kept = Response({"status": {"status": "granted"}, "time_stamp_token": cms.ContentInfo.load(token)}).dump()
    server.answer = lambda _: (200, REPLY, kept)
    with pytest.raises(Rejected, match="nonce"):  # an answer of yesterday
        ask(server.url, CONTENT, anchors)
    for answer in ((500, REPLY, b""), (200, "text/html", b"x"), (200, REPLY, bytes(100_000)), (302, REPLY, b"")):
        server.answer = lambda _, answer=answer: answer  # type: ignore[misc]
        with pytest.raises(Unavailable) as caught:
            ask(server.url, CONTENT, anchors)
        assert caught.value.code == "attestor.unavailable"
    server.answer = lambda _: (200, REPLY, b"\x30\x00")
    with pytest.raises(Rejected, match=r"stamp\.malformed"):
        ask(server.url, CONTENT, anchors)


def test_an_authority_that_stalls_or_is_not_there(authority: Authority, server: Server) -> None:
    server.stalls = True
    with pytest.raises(Unavailable) as caught:
        ask(server.url, CONTENT, [authority.root_certificate], timeout_s=0.2)
    assert caught.value.code == "attestor.unavailable"
    with pytest.raises(Unavailable):
        ask("http://127.0.0.1:1/", CONTENT, [authority.root_certificate], timeout_s=1)
    for url in (
        "ftp://x/",
        "nonsense",
        "http://u:p@x/",
        "http://x:port/",
        "http://x:99999/",
        "http://[x/",
        "http:///y",
    ):
        with pytest.raises(Misconfigured):
            ask(url, CONTENT, [])
