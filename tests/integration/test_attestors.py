"""A witness and a time-stamping authority as processes of their own, as others would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from exchange.backbone.folder import Folder
from exchange.ledger.attesting import Ages, Attesting, Stamping, Watcher, ages, kept_stamp
from exchange.ledger.notes import NoteKey, VerifierKey
from exchange.ledger.order import Order, Taken
from exchange.ledger.stamps import verify_stamp
from exchange.ledger.store import LedgerStore
from exchange.local.authority import Authority
from exchange.local.founding import now_ms
from exchange.local.home import Home

LOG = NoteKey.generate("log.test/attestors")


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[str]:
    """A command that serves; gives its address, and stops it in good order."""
    process = subprocess.Popen(
        [sys.executable, "-m", "exchange", "--home", str(home), *arguments, "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert process.stderr is not None
    with process:
        try:
            found = re.search(r"http://[0-9.:]+", process.stderr.readline())
            assert found is not None
            yield found[0].rstrip(".")
        finally:
            process.terminate()
    assert process.returncode == 0


def test_attested_by_others(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    authority, state = Authority.create(home.keys), tmp_path / "witness"
    made = subprocess.run(
        [sys.executable, "-m", "exchange", "witness", "init", "witness.test/1", "--state", str(state)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    key, folder = VerifierKey.parse(made.stdout), Folder(tmp_path / "ledger")
    store = LedgerStore(folder, LOG)
    entries = [sha256(bytes([n])).digest() for n in range(5)]
    store.take(Order(0, store.root, b"b" * 16, [Taken(0, 0, 5)], entries), 0, bytes(80))
    store.sign()
    watching = ("witness", "serve", "--state", str(state), "--log", str(LOG.verifier))
    with serving(home.folder, *watching) as witness, serving(home.folder, "tsa", "serve") as tsa:
        roots = (authority.root_certificate,)
        Attesting(folder, LOG.verifier, Stamping(f"{tsa}/tsa", roots), [Watcher(witness, key)]).round()
    assert ages(folder, LOG.verifier, now_ms() / 1000) == Ages(0.0, 0.0)
    kept = kept_stamp(folder, 5)
    assert kept is not None
    assert verify_stamp(kept.token, sha256(kept.note).digest(), roots).path[-1] == authority.root_certificate
    assert b"witness.test/1" in kept.note
