"""`exchange edxml` as people run it: processes, exit codes, files byte for byte; the face, called with curl's bytes."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.local.waiting import wait_until
from tests.support.edxml import PLAN, document, packed
from tests.support.gateways import Served, free_port, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served(exchange: Exchange) -> Iterator[Served]:
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


def run(*arguments: str, code: int = 0, said: str = "") -> str:
    """Run `exchange edxml …`; its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "exchange", "edxml", *arguments],
        input=said, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


def peak_kib(pid: int) -> int:
    """The most memory that a process has had resident."""
    return int(Path(f"/proc/{pid}/status").read_text("utf-8").partition("VmHWM:")[2].split()[0])


def test_a_packet_from_file_to_file(exchange: Exchange, served: Served, tmp_path: Path) -> None:
    sender, recipient = exchange.member(Level.PROVINCE, 10).agency.code, exchange.member(Level.COMMUNE, 10).agency.code
    keys = exchange.world.home.keys / "agencies"
    packet = tmp_path / "packet.edxml"
    packet.write_text(document(sender, (recipient,), document_id="c,1", content=packed(PLAN)), "utf-8")

    def options(code: str) -> list[str]:
        place = str(tmp_path / code)
        return ["--agency", code, "--key", str(keys / code), "--gateway", served.url, "--folder", place]

    signed = tmp_path / "signed.edxml"
    run("sign", str(packet), str(signed), "--key", str(keys / sender))
    assert json.loads(run("verify", str(signed), "--json"))["over"] == "message and attachments"
    assert "edxml.signature_missing" in run("verify", str(packet), code=1)
    sent = json.loads(run("import", str(signed), *options(sender), "--json"))
    assert sent["state"] == "sent"
    assert "edxml.sender_not_ours" in run("import", str(packet), *options(recipient), code=1)
    found: list[str] = []

    def listed() -> bool:
        rows = json.loads(run("list", *options(recipient), "--json"))
        found.extend(row["doc_id"] for row in rows if row["document_id"] == "c,1")
        return bool(found)

    assert wait_until(listed, 60)
    out = tmp_path / "out.edxml"
    run("export", str(out), "--id", found[0], *options(recipient))
    assert out.read_bytes() == signed.read_bytes()
    assert "edxml.doc_unknown" in run("export", str(out), "--id", "nothing", *options(recipient), code=1)


def test_the_face_as_a_process(exchange: Exchange, served: Served, tmp_path: Path) -> None:
    """Its secrets are hashed, forty megabytes go in and out in little memory, and it ends in order."""
    code = exchange.member(Level.COMMUNE, 11).agency.code
    key, secrets = exchange.world.home.keys / "agencies" / code, tmp_path / "secrets.json"
    options = ["--agency", code, "--key", str(key), "--gateway", served.url, "--folder", str(tmp_path / "face")]
    run("serve", *options, "--secrets", str(secrets), code=2)
    run("secret", "QLVB", "--secrets", str(secrets), said="mot-bi-mat\n")
    assert "mot-bi-mat" not in secrets.read_text("utf-8")
    assert secrets.stat().st_mode & 0o077 == 0
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "exchange", "edxml", "serve", *options, "--secrets", str(secrets), "--port", str(port)],
        env=dict(os.environ), stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        headers = {"X-SystemId": "QLVB", "X-SecretKey": "mot-bi-mat"}

        def answers() -> bool:
            try:
                got = httpx.get(f"http://127.0.0.1:{port}/v1/getReceivedEdocList", headers=headers, timeout=10)
            except httpx.TransportError:
                return process.poll() is not None
            return bool(got.json()["success"])

        assert wait_until(answers, 60)
        before_kib = peak_kib(process.pid)
        content = base64.b64encode(bytes(range(256)) * 120_000).decode()
        packet = document(code, (code,), document_id="c,big", number="40", content=content).encode()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1", headers=headers, timeout=60) as client:
            answer = client.post("/sendEdoc", files={"edocFile": ("big.edxml", packet, "application/xml")}).json()
            assert answer["success"], answer
            found: list[str] = []

            def arrived() -> bool:
                listed = client.get("/getReceivedEdocList").json()["data"]
                found.extend(one["docId"] for one in listed if one["notation"] == "40/VPCP-TH")
                return bool(found)

            assert wait_until(arrived, 60)
            with client.stream("GET", "/getEdoc", params={"docId": found[0]}) as fetched:
                size = sum(len(piece) for piece in fetched.iter_bytes())
        assert size > len(packet) > 40_000_000
        assert peak_kib(process.pid) - before_kib < 24 * 1024
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert b"Traceback" not in said
    finally:
        process.kill()
        process.wait()
