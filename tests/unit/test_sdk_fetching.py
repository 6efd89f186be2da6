"""Saving attachments: names of strangers in one folder, and no file in another's place."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from exchange.errors import Rejected
from exchange.sdk.fetching import save
from exchange.sdk.session import Session
from exchange.sdk.wire import Direct

FILES = {sha256(content).digest(): content for content in (b"one", b"two", b"three", b"four")}


class Stored:
    """A session whose gateway has some files; `damaged` ones come with other bytes."""

    def __init__(self, *damaged: bytes) -> None:
        self.wire = Direct("http://127.0.0.1:9", None)
        self._damaged = damaged

    def stream(self, path: str) -> Iterator[bytes]:
        content = FILES[bytes.fromhex(path.rpartition("/")[2])]
        yield b"other" if content in self._damaged else content


def saved(folder: Path, *contents: bytes, name: str = "plan.pdf", session: Stored | None = None) -> list[str]:
    listed: list[dict[str, Any]] = [
        {"name": name, "size": len(content), "sha256": sha256(content).digest()} for content in contents
    ]
    return [path.name for path in save(cast(Session, session or Stored()), listed, folder)]


def test_no_file_takes_anothers_place(tmp_path: Path) -> None:
    assert saved(tmp_path, b"one") == ["plan.pdf"]
    assert saved(tmp_path, b"two") == ["1-plan.pdf"]
    assert saved(tmp_path, b"three", b"four") == ["2-plan.pdf", "3-plan.pdf"]
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == sorted(FILES.values())


def test_a_hidden_name_is_shown(tmp_path: Path) -> None:
    assert saved(tmp_path, b"one", b"two", name=".profile") == ["1-.profile", "2-.profile"]


def test_other_bytes_get_no_name(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"attachment\.differs"):
        saved(tmp_path, b"one", session=Stored(b"one"))
    assert list(tmp_path.iterdir()) == []
