"""Evidence as an auditor makes it: exported from the running exchange by the command line, verified with nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509

from exchange.agencies.levels import Level
from exchange.cli.attesting import own_stamper
from exchange.cli.promised import promised
from exchange.ledger.attesting import AttestorServer
from exchange.local.founding import now_ms
from exchange.local.waiting import wait_until
from exchange.statements.status import ACCEPTED, ARRIVED
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import trace
from tests.support import independent_verifier
from tests.support.independent_verifier import Refused
from tests.support.running import Exchange

pytestmark = pytest.mark.integration


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
        if found is None or len(found.steps) != 2 or len(found.duplicates) != 1:
            return False
        return promised(exchange.world.base, found).promise is not None

    assert wait_until(is_stored, 60)
    return fields


def test_export_and_verify_offline(exchange: Exchange, tmp_path: Path) -> None:
    fields, home, nowhere = acknowledged_document(exchange), exchange.world.home.folder, tmp_path / "nowhere"
    file, vkey, root = tmp_path / "evidence.zip", tmp_path / "ledger.vkey", home / "keys" / "root.crt.pem"
    vkey.write_bytes(run(home, "ledger", "key"))
    run(home, "evidence", "export", fields["id"], "-o", str(file))
    checked = ("evidence", "verify", str(file), "--trust", str(root), "--ledger-key", str(vkey))
    shown = run(nowhere, *checked).decode()
    assert shown.count("✓") == 12
    assert "It holds" in shown
    assert not nowhere.exists()
    answer = json.loads(run(nowhere, *checked, "--json"))
    assert answer["holds"]
    assert answer["document"]["id"] == fields["id"]
    notes = {step["name"]: step["note"] for step in answer["steps"]}
    assert notes["events"] == "4 events"
    assert notes["receipts"] == "2 signed"
    assert notes["promises"] == "1 promised, 0 had not answered when it was due"
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


def test_witnessed_stamped_and_renewed(exchange: Exchange, tmp_path: Path) -> None:
    """The running exchange's evidence bears its witness's line and a time-stamp, by the bundle that it publishes."""
    fields, home, nowhere = acknowledged_document(exchange), exchange.world.home.folder, tmp_path / "nowhere"
    file, bundle = tmp_path / "evidence.zip", tmp_path / "trust.json"
    run(home, "evidence", "export", fields["id"], "-o", str(file))
    run(home, "trust", "export", "-o", str(bundle))
    checked = ("evidence", "verify", str(file), "--trust", str(bundle), "--json")
    verdict = json.loads(run(nowhere, *checked))
    steps = {step["name"]: step["note"] for step in verdict["steps"]}
    assert steps["witnesses"].startswith("witness/")
    assert "Exchange Demo Time-Stamps" in steps["stamps"]
    assert "stamp.none" not in verdict["reservations"]
    status = json.loads(run(home, "ledger", "status", "--json"))
    assert 0 < status["witnessed_size"] <= status["size"]
    assert status["beyond_limits"] == []
    assert json.loads(run(home, "status", "--json"))["ledger"]["unstamped_age_s"] < 60
    # A list issued since the document was taken in settles what was provisional.
    assert verdict["reservations"] == ["revocation.provisional"]
    run(home, "init", "--yes")
    run(home, "evidence", "export", fields["id"], "-o", str(file))
    assert json.loads(run(nowhere, *checked))["reservations"] == []
    # Renewed by an authority over HTTP; not again while it is good for long.
    server = AttestorServer(("127.0.0.1", 0), None, own_stamper(exchange.world))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/tsa"
        renew = ("evidence", "renew", str(file), "--trust", str(bundle), "--tsa", address)
        assert b"renewed" in run(nowhere, *renew)
        assert json.loads(run(nowhere, *checked))["steps"][2]["note"].count("Exchange Demo") == 2
        kept = file.read_bytes()
        assert run(nowhere, *renew, "--within", "365") == b""
        assert file.read_bytes() == kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    run(nowhere, *renew, code=3)  # the authority is away: nothing is lost
    assert file.read_bytes() == kept


def test_what_was_never_accepted_has_no_evidence(exchange: Exchange, tmp_path: Path) -> None:
    home = exchange.world.home.folder
    run(home, "evidence", "export", "no-such-id", "-o", str(tmp_path / "e.zip"), code=1)
    assert not (tmp_path / "e.zip").exists()
