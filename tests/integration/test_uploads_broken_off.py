"""Uploads through the real addresses over a folder: a gateway killed in the middle, and a thousand at a time."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import cast

import httpx
import pytest

from bench.gateway_load import Line
from exchange.local.issuing import new_key
from exchange.sdk import sending
from exchange.sdk.outbox import Outbox
from exchange.sdk.sending import Sending
from exchange.sdk.session import Session
from exchange.sdk.wire import Direct
from exchange.signatures import SigningKey
from exchange.statements import AttachmentRef
from tests.support.gateways import OPEN_LIMITS, free_port
from tests.support.storing import SUSPENDED, process, token_of

MIB = 1024 * 1024
CODE = "H37.02"
AT_ONCE, EACH_BYTES = 1000, 50_000


def arrived(folder: Path) -> int:
    """Bytes of unfinished uploads."""
    return sum(path.stat().st_size for path in (folder / "uploads").rglob("*") if path.is_file())


def test_a_gateway_killed_in_the_middle_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the client, at the next gateway; what had arrived is not sent again."""
    monkeypatch.setattr(sending, "PIECE_BYTES", 20 * MIB)
    store, port, file = tmp_path / "store", free_port(), tmp_path / "film.bin"
    content = os.urandom(24 * MIB)
    file.write_bytes(content)
    url = f"http://127.0.0.1:{port}"
    session = Session(CODE, SigningKey(new_key("p256"), b"c" * 32), url, 60.0, Direct(url, None))
    session._token, session._token_until = token_of(CODE), float("inf")
    kept: list[int] = []
    positions: list[int] = []
    with ExitStack() as gateways:
        first = gateways.enter_context(process(store, port))

        def told(_: str, done: int, __: int) -> None:
            if kept:
                positions.append(done)
            elif done == 16 * MIB:
                first.kill()
                first.wait()
                kept.append(arrived(store))
                gateways.enter_context(process(store, port))

        digest = sha256(content).digest()
        ref = AttachmentRef(digest, len(content))
        found = Sending(session, cast(Outbox, None))._put_in_pieces(ref, file, told)
        session.close()
    assert (found["sha256"], found["size"]) == (digest.hex(), len(content))
    assert 4 * MIB <= kept[0] < min(positions)
    assert positions[-1] == 24 * MIB
    text = digest.hex()
    assert (store / text[:2] / text[2:4] / text).read_bytes() == content
    assert arrived(store) == 0


def test_a_suspended_agency_stores_nothing(tmp_path: Path) -> None:
    port, name = free_port(), sha256(b"x").hexdigest()
    with process(tmp_path, port):
        for code, status in ((SUSPENDED, 403), (CODE, 201)):
            headers = {"authorization": f"Bearer {token_of(code)}", "upload-offset": "0"}
            answer = httpx.patch(
                f"http://127.0.0.1:{port}/v1/uploads/{name}", content=b"x", headers=headers, timeout=30
            )
            assert answer.status_code == status, answer.text


async def test_a_thousand_at_a_time(tmp_path: Path) -> None:
    """Of many agencies, each within its quota: every one is stored, and nothing else is left."""
    port = free_port()
    tokens = [token_of(f"H{number}.{number}") for number in range(AT_ONCE // OPEN_LIMITS.uploads)]
    with process(tmp_path, port):
        lines = [await Line.open(port) for _ in range(AT_ONCE)]

        async def upload(number: int) -> tuple[str, int]:
            content = number.to_bytes(4, "big") * (EACH_BYTES // 4)
            name = sha256(content).hexdigest()
            head = (
                f"PUT /v1/attachments/{name} HTTP/1.1\r\nhost: x\r\n"
                f"authorization: Bearer {tokens[number % len(tokens)]}\r\ncontent-length: {len(content)}\r\n\r\n"
            )
            found = json.loads(await lines[number].ask(head.encode() + content))
            lines[number].close()
            return name, int(found["size"])

        stored = await asyncio.gather(*(upload(number) for number in range(AT_ONCE)))
    assert {size for _, size in stored} == {EACH_BYTES}
    assert names(tmp_path) == {name for name, _ in stored}


def names(folder: Path) -> set[str]:
    """Of all files."""
    return {path.name for path in folder.rglob("*") if path.is_file()}
