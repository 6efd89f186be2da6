"""Evidence as an auditor makes it: exported from the running exchange by the command line, verified with nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from exchange.agencies.levels import Level
from exchange.local.founding import now_ms
from exchange.local.waiting import wait_until
from exchange.statements.status import ACCEPTED, ARRIVED
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import trace
from tests.support import independent_verifier
from tests.support.independent_verifier import Refused
from tests.support.running import Exchange

pytestmark = [pytest.mark.begun, pytest.mark.integration]


def run(home: Path, *arguments: str, given: bytes = b"", code: int = 0) -> bytes:
    """Run a command as a process; its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "exchange", "--home", str(home), *arguments],
        input=given, capture_output=True, timeout=120, check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def acknowledged_document(exchange: Exchange) -> dict[str, Any]:
    """A document to two units: one of them signs two receipts, the sender sends it twice."""
    sender, first, second = (exchange.member(level) for level in (Level.PROVINCE, Level.DISTRICT, Level.COMMUNE))
    fields = exchange.document(sender, [first.agency.code, second.agency.code])
    record = exchange.prepare("document", fields, sender)
    exchange.fates(exchange.submit_all([record, record]))
    for code in (ARRIVED, ACCEPTED):
        exchange.fates([exchange.submit("status", exchange.status(first, fields, code), first)])
    store = TraceStore(exchange.world.database_url)

    def is_stored() -> bool:
        found = trace(store, fields["id"])
        return found is not None and len(found.steps) == 2 and len(found.duplicates) == 1

    assert wait_until(is_stored, 60)
    return fields


def test_export_and_verify_offline(exchange: Exchange, tmp_path: Path) -> None:
    fields, home, nowhere = acknowledged_document(exchange), exchange.world.home.folder, tmp_path / "nowhere"
    file, vkey, root = tmp_path / "evidence.zip", tmp_path / "ledger.vkey", home / "keys" / "root.crt.pem"
    vkey.write_bytes(run(home, "ledger", "key"))
    run(home, "evidence", "export", fields["id"], "-o", str(file))
    checked = ("evidence", "verify", str(file), "--trust", str(root), "--ledger-key", str(vkey))
    shown = run(nowhere, *checked).decode()
    assert shown.count("✓") == 11
    assert "It holds" in shown
    assert not nowhere.exists()
    answer = json.loads(run(nowhere, *checked, "--json"))
    assert answer["holds"]
    assert answer["document"]["id"] == fields["id"]
    notes = {step["name"]: step["note"] for step in answer["steps"]}
    assert notes["events"] == "4 events"
    assert notes["receipts"] == "2 signed"
    certificate = x509.load_pem_x509_certificate(root.read_bytes())
    assert independent_verifier.verify(file.read_bytes(), certificate, vkey.read_text().strip(), now_ms())
    # A byte changed; another's key.
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    shown = run(nowhere, *checked, code=1).decode()
    assert shown.count("✗") == 1
    assert "does NOT hold" in shown
    with pytest.raises(Refused):
        independent_verifier.verify(bytes(data), certificate, vkey.read_text().strip(), now_ms())
    run(nowhere, *checked[:-1], "not-a-key", code=2)


def test_a_witness_cosigns_and_evidence_bears_it(exchange: Exchange, tmp_path: Path) -> None:
    fields, home, nowhere = acknowledged_document(exchange), exchange.world.home.folder, tmp_path / "nowhere"
    file, state = tmp_path / "evidence.zip", tmp_path / "witness"
    run(home, "evidence", "export", fields["id"], "-o", str(file))  # so the ledger has it all
    key = run(home, "ledger", "key").decode().strip()
    witness = run(nowhere, "witness", "init", "witness.test/1", "--state", str(state)).decode().strip()
    asked, answer = tmp_path / "request", tmp_path / "answer"
    for _ in range(2):  # the second time from where the first one ended
        asked.write_bytes(run(home, "ledger", "request"))
        answer.write_bytes(run(nowhere, "witness", "cosign", "--state", str(state), "--log", key, str(asked)))
        run(home, "ledger", "keep", str(asked), str(answer), "--witness-key", witness)
    run(home, "evidence", "export", fields["id"], "-o", str(file))
    root = str(home / "keys" / "root.crt.pem")
    checked = ("evidence", "verify", str(file), "--trust", root, "--ledger-key", key, "--witness-key", witness)
    assert "witness.test/1" in run(nowhere, *checked).decode()
    status = json.loads(run(home, "ledger", "status", "--json"))
    assert 0 < status["witnessed_size"] <= status["size"]
    # Asked from where it isn't, the witness says so and signs nothing.
    asked.write_bytes(run(home, "ledger", "request", "--since", "1"))
    run(nowhere, "witness", "cosign", "--state", str(state), "--log", key, str(asked), code=1)


def test_what_was_never_accepted_has_no_evidence(exchange: Exchange, tmp_path: Path) -> None:
    home = exchange.world.home.folder
    run(home, "evidence", "export", "no-such-id", "-o", str(tmp_path / "e.zip"), code=1)
    assert not (tmp_path / "e.zip").exists()
