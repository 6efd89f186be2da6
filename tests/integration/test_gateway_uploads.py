"""Uploads at a real gateway: a large one in little memory, and what the draft says of headers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from exchange import Agency
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.cli.running import options_of
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from tests.support.gateways import free_port, serving
from tests.support.running import Exchange

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
LARGE_BYTES = 200 * MIB
GROWTH_KIB_MAX = 64 * 1024


@pytest.fixture(scope="module")
def sender(exchange: Exchange) -> Member:
    return exchange.member(Level.PROVINCE, 15)


@pytest.fixture(scope="module")
def recipient(exchange: Exchange) -> Member:
    return exchange.member(Level.COMMUNE, 15)


@contextmanager
def process(exchange: Exchange, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`exchange gateway` as a process that answers; killed when the block ends."""
    command = [sys.executable, "-m", "exchange", *options_of(exchange.world), "gateway", "--port", str(port)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: _answers(port), 60)
        yield child
    finally:
        child.kill()
        child.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/openapi.json", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def peak_kib(pid: int) -> int:
    """The most memory that a process has had resident."""
    return int(Path(f"/proc/{pid}/status").read_text("utf-8").partition("VmHWM:")[2].split()[0])


def test_two_hundred_megabytes_in_and_out_in_little_memory(
    exchange: Exchange, sender: Member, recipient: Member, tmp_path: Path
) -> None:
    await_members(exchange.world.admin, GROUP, 1, 120)
    port, file = free_port(), tmp_path / "film.bin"
    with file.open("wb") as target:
        for _ in range(LARGE_BYTES // MIB):
            target.write(os.urandom(MIB))
    url = f"http://127.0.0.1:{port}"
    with (
        process(exchange, port) as gateway,
        Agency(sender.agency.code, sender.key, url, folder=tmp_path / "out") as out,
        Agency(recipient.agency.code, recipient.key, url, folder=tmp_path / "into") as into,
    ):
        list(into.inbox())
        before_kib = peak_kib(gateway.pid)
        published = out.publish([file], [into.code], "Phim")
        received = next(one for one in into.inbox(follow=True) if one.fields["id"] == published.id)
        [saved] = into.save(received, tmp_path / "saved")
        assert peak_kib(gateway.pid) - before_kib < GROWTH_KIB_MAX
    digests = []
    for path in (file, saved):
        with path.open("rb") as stream:
            digests.append(sha256(stream.read()).digest())
        path.unlink()
    assert digests[0] == digests[1]


def test_the_offset_in_headers_as_the_draft_has_it(exchange: Exchange, sender: Member) -> None:
    content = os.urandom(100_000)
    address = f"/v1/uploads/{sha256(content).hexdigest()}"
    with serving(exchange.world) as served, served.client(sender) as client:
        head = client.head(address)
        assert (head.status_code, head.headers["upload-offset"], head.headers["upload-complete"]) == (200, "0", "?0")
        first = {"upload-offset": "0", "upload-complete": "?0", "content-type": "application/partial-upload"}
        assert client.patch(address, content=content[:60_000], headers=first).json() == {"offset": 60_000}
        assert client.head(address).headers["upload-offset"] == "60000"
        wrong = client.patch(address, content=content[50_000:], headers={"upload-offset": "50000"})
        assert (wrong.status_code, wrong.json()["code"], wrong.json()["offset"]) == (409, "upload.offset", 60_000)
        done = client.patch(address, content=content[60_000:], headers={"upload-offset": "60000"})
        assert (done.status_code, done.json()["size"]) == (201, len(content))
        assert client.get(address.replace("uploads", "attachments")).content == content
        assert client.patch(address, content=b"other", headers={"upload-offset": "0"}).json()["code"] == (
            "attachment.differs"
        )
        client.patch(address, content=b"given up", headers=first)
        assert client.delete(address).status_code == 204
        assert client.get(address).json() == {"offset": 0}
