"""Resumable uploads into a real folder: broken off anywhere, gone on with by another gateway, never other bytes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from exchange.backbone.attachments import Attachments
from exchange.errors import ExchangeError
from exchange.gateway import uploads
from exchange.gateway.files import Files
from exchange.gateway.limits import Limits
from exchange.gateway.problems import Refused
from exchange.gateway.uploads import PIECE_BYTES, Uploads

KEY, CODE = b"k" * 32, "H26"
CONTENT = os.urandom(2 * PIECE_BYTES + 12_345)
DIGEST = sha256(CONTENT).digest()
CHUNK = 65_536
LAST = len(CONTENT) // CHUNK * CHUNK


class Killed(BaseException):
    """Nothing of ours handles it."""


def gateway(folder: Path, limits: Limits | None = None) -> Uploads:
    """What a gateway holds that was started just now."""
    return Uploads(Files(Attachments(folder, KEY)), limits or Limits())


async def flowing(content: bytes, breaks_after: int | None = None) -> AsyncIterator[bytes]:
    for start in range(0, len(content), CHUNK):
        if breaks_after is not None and start >= breaks_after:
            raise Refused("request.malformed", "left in between")
        yield content[start : start + CHUNK]


def files(folder: Path, under: str = "uploads") -> list[Path]:
    return [path for path in (folder / under).rglob("*") if path.is_file()]


async def stored(folder: Path) -> bytes:
    return b"".join([chunk async for chunk in Files(Attachments(folder, KEY)).read(DIGEST)])


@pytest.mark.parametrize("breaks", [CHUNK, PIECE_BYTES, PIECE_BYTES + CHUNK, LAST])
async def test_another_gateway_goes_on_where_it_was_broken_off(tmp_path: Path, breaks: int) -> None:
    with pytest.raises(Refused, match=r"request\.malformed"):
        await gateway(tmp_path).append(CODE, DIGEST, 0, flowing(CONTENT, breaks))
    again = gateway(tmp_path)
    here = await again.offset(CODE, DIGEST)
    assert here == breaks
    assert await again.append(CODE, DIGEST, here, flowing(CONTENT[here:])) == len(CONTENT)
    receipt, is_new = await again.complete(CODE, DIGEST)
    assert (receipt.sha256, receipt.size, is_new) == (DIGEST, len(CONTENT), True)
    assert await stored(tmp_path) == CONTENT
    assert not files(tmp_path)


async def test_a_gateway_that_is_killed_loses_a_piece_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, put = gateway(tmp_path), Uploads._put
    written = 0

    async def killed(self: Uploads, agency: str, digest: bytes, start: int, held: list[bytes]) -> None:
        nonlocal written
        if written:
            raise Killed
        written += 1
        await put(self, agency, digest, start, held)

    monkeypatch.setattr(Uploads, "_put", killed)
    with pytest.raises(Killed):
        await one.append(CODE, DIGEST, 0, flowing(CONTENT))
    assert await gateway(tmp_path).offset(CODE, DIGEST) == PIECE_BYTES


async def test_only_at_the_offset_and_only_its_own(tmp_path: Path) -> None:
    one = gateway(tmp_path)
    await one.append(CODE, DIGEST, 0, flowing(CONTENT[:1000]))
    for wrong in (0, 999, 1001):
        with pytest.raises(Refused) as caught:
            await one.append(CODE, DIGEST, wrong, flowing(b"x"))
        assert (caught.value.code, caught.value.more) == ("upload.offset", {"offset": 1000})
    assert await one.offset("H27", DIGEST) == 0


async def test_other_bytes_never_get_the_name_and_the_upload_begins_again(tmp_path: Path) -> None:
    one = gateway(tmp_path)
    await one.append(CODE, DIGEST, 0, flowing(CONTENT[:-1] + b"\0" * (CONTENT[-1] == 0) + b"\1" * (CONTENT[-1] != 0)))
    with pytest.raises(Refused, match=r"attachment\.differs"):
        await one.complete(CODE, DIGEST)
    assert await one.offset(CODE, DIGEST) == 0
    assert not files(tmp_path)
    assert await Files(Attachments(tmp_path, KEY)).size(DIGEST) is None


async def test_two_at_once_spoil_nothing_but_their_own_upload(tmp_path: Path) -> None:
    one = gateway(tmp_path)
    ends = await asyncio.gather(
        *(one.append(CODE, DIGEST, 0, flowing(CONTENT[:size])) for size in (3000, 70_000)), return_exceptions=True
    )
    assert any(isinstance(end, int) for end in ends)
    here = await one.offset(CODE, DIGEST)
    await one.append(CODE, DIGEST, here, flowing(CONTENT[here:]))
    await one.complete(CODE, DIGEST)
    assert await stored(tmp_path) == CONTENT


async def test_bounds(tmp_path: Path) -> None:
    one = gateway(tmp_path, replace(Limits(), attachment_bytes=100_000, unfinished=2))
    with pytest.raises(Refused, match=r"request\.too_large"):
        await one.append(CODE, DIGEST, 0, flowing(bytes(100_001)))
    await one.append(CODE, sha256(b"2").digest(), 0, flowing(b"2"))
    with pytest.raises(Refused, match=r"upload\.too_many"):
        await one.append(CODE, sha256(b"3").digest(), 0, flowing(b"3"))
    await one.append("H27", sha256(b"3").digest(), 0, flowing(b"3"))
    await one.let_go(CODE, DIGEST)
    await one.append(CODE, sha256(b"3").digest(), 0, flowing(b"3"))


async def test_when_much_is_held_pieces_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "HELD_BYTES", 0)
    one = gateway(tmp_path)
    await one.append(CODE, DIGEST, 0, flowing(CONTENT))
    assert max(path.stat().st_size for path in files(tmp_path)) == uploads.PIECE_BYTES_MIN
    assert one._held_bytes == 0
    await one.complete(CODE, DIGEST)
    assert await stored(tmp_path) == CONTENT


async def test_what_nobody_goes_on_with_is_let_go(tmp_path: Path) -> None:
    one, fresh = gateway(tmp_path), sha256(b"2").digest()
    await one.append(CODE, DIGEST, 0, flowing(CONTENT[:1000]))
    await one.append(CODE, fresh, 0, flowing(b"2"))
    for path in files(tmp_path):
        if DIGEST.hex() in str(path):
            long_ago = path.stat().st_mtime - uploads.UNFINISHED_S - 10
            os.utime(path, (long_ago, long_ago))
    await one.sweep()
    assert await one.offset(CODE, DIGEST) == 0
    assert await one.offset(CODE, fresh) == 1


async def test_a_store_that_fails_is_unavailable(tmp_path: Path) -> None:
    one = gateway(tmp_path)
    (tmp_path / "uploads").write_bytes(b"in the way")
    with pytest.raises(ExchangeError, match=r"storage\.unavailable"):
        await one.append(CODE, DIGEST, 0, flowing(b"x"))
