"""`exchange inbox --save` dies in the middle of a file: nothing bears the file's name, and reading again saves it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from exchange.backbone.attachments import CHUNK_BYTES, Attachments
from exchange.backbone.inbox import Received
from exchange.cli.receiving import _save
from exchange.statements.compose import attachment

pytestmark = pytest.mark.fault


DYING = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from exchange.backbone.attachments import Attachments
from exchange.cli.receiving import _save

class Killing(Attachments):
    def read(self, digest, size):
        yield next(super().read(digest, size))
        os.kill(os.getpid(), signal.SIGKILL)

folder, files = Path(sys.argv[1]), eval(sys.argv[2])
_save(Killing(folder / "store", b"k" * 32), SimpleNamespace(fields=files), folder / "saved")
"""
"""Saves, from a store whose reader is killed after a chunk."""


def test_a_file_whose_saving_was_killed_is_saved_whole_the_next_time(tmp_path: Path) -> None:
    sources = [tmp_path / "a.bin", tmp_path / "b.bin"]
    store, files = Attachments(tmp_path / "store", b"k" * 32), []
    for source in sources:
        source.write_bytes(os.urandom(3 * CHUNK_BYTES))
        stored = store.put(source)
        files.append(attachment(source.name, "application/octet-stream", stored.size, stored.sha256))
    fields = {"sender": "H26", "id": "d-1", "attachments": files}
    received = cast("Received", SimpleNamespace(fields=fields))
    folder, place = tmp_path / "saved", tmp_path / "saved" / "H26_d-1"
    dying = [sys.executable, "-c", DYING, str(tmp_path), repr(fields)]
    done = subprocess.run(dying, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [path.name for path in place.iterdir()] == ["a.bin.part"]
    for _ in range(2):  # killed again before it noted that it had read the document
        assert _save(store, received, folder) == [place / "a.bin", place / "b.bin"]
        assert sorted(path.name for path in place.iterdir()) == ["a.bin", "b.bin"]
        assert [(place / source.name).read_bytes() for source in sources] == [one.read_bytes() for one in sources]
