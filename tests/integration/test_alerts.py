"""Alerts: the rules by promtool; a real Alertmanager tells mailbox and webhook once, and not what is silenced."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from exchange.local.waiting import wait_until
from tests.support.daemons import running, tool
from tests.support.gateways import free_port

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCS = Path(__file__).parents[2] / "docs" / "alerts.md"
RULES = DEPLOY / "prometheus" / "rules.yml"
CASES = sorted(RULES.parent.glob("*.test.yml"))
WITHIN_S = 30.0


def alerts() -> list[str]:
    return re.findall(r"^ +- alert: (\w+)$", RULES.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_rules_fire_when_they_should_and_only_then() -> None:
    promtool = tool("promtool")
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", *(path.name for path in CASES)]):
        done = subprocess.run(
            [promtool, *arguments], check=False, cwd=RULES.parent, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_and_a_line_of_advice() -> None:
    cases = set(re.findall(r"alertname: (\w+)", "".join(path.read_text(encoding="utf-8") for path in CASES)))
    assert len(alerts()) > 20
    assert cases == set(alerts())
    assert set(re.findall(r"`([A-Z]\w+)`", DOCS.read_text(encoding="utf-8"))) == set(alerts())


class Told(NamedTuple):
    """Who was told: webhook bodies, mails, and where Alertmanager listens."""

    posts: list[dict[str, Any]]
    mails: list[str]
    url: str

    def names(self, **labels: str) -> list[str]:
        """The names of all alerts that the webhook was told of and that bear these labels, one for each telling."""
        told = [one["labels"] for post in self.posts for one in post["alerts"]]
        return [one["alertname"] for one in told if labels.items() <= one.items()]

    def alert(self, name: str, **labels: str) -> None:
        """Say that something is wrong, as Prometheus does."""
        one = {"labels": {"alertname": name, "severity": "page", **labels}, "annotations": {"summary": f"{name} now"}}
        httpx.post(f"{self.url}/api/v2/alerts", json=[one], timeout=10).raise_for_status()

    def silence(self, name: str, value: str) -> None:
        """Ask for silence about alerts with that label."""
        now = datetime.now(UTC)
        matcher = {"name": name, "value": value, "isRegex": False, "isEqual": True}
        body = {
            "matchers": [matcher], "startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "test", "comment": "test",
        }  # fmt: skip
        httpx.post(f"{self.url}/api/v2/silences", json=body, timeout=10).raise_for_status()


class _Mailbox:
    def __init__(self, mails: list[str]) -> None:
        self._mails = mails

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's
        content = envelope.content
        assert isinstance(content, bytes)
        self._mails.append(f"{envelope.rcpt_tos[0]}: {message_from_bytes(content)['Subject']}")
        return "250 taken"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A real Alertmanager with the shipped configuration, but for its addresses and waits."""
    alertmanager, folder = tool("prometheus-alertmanager", "alertmanager"), tmp_path_factory.mktemp("alertmanager")
    posts: list[dict[str, Any]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    webhook = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    serving = Thread(target=webhook.serve_forever)
    serving.start()
    mails: list[str] = []
    mailbox = Controller(_Mailbox(mails), hostname="127.0.0.1", port=free_port())
    mailbox.start()
    config = (DEPLOY / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
    for shipped, here in (
        ("127.0.0.1:25", f"127.0.0.1:{mailbox.port}"),
        ("127.0.0.1:9095", f"127.0.0.1:{webhook.server_port}"),
        ("smtp_require_tls: true", "smtp_require_tls: false"),
        ("group_wait: 30s", "group_wait: 200ms"),
        ("group_interval: 5m", "group_interval: 200ms"),
    ):
        assert config.count(shipped) == 1, shipped
        config = config.replace(shipped, here)
    file, port = folder / "alertmanager.yml", free_port()
    file.write_text(config, encoding="utf-8")
    command = [
        alertmanager, f"--config.file={file}", f"--storage.path={folder}", "--cluster.listen-address=",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    try:
        with running(command, f"http://127.0.0.1:{port}", folder) as url:
            yield Told(posts, mails, url)
    finally:
        mailbox.stop()
        webhook.shutdown()
        webhook.server_close()
        serving.join()


def test_an_alert_reaches_mailbox_and_webhook_once_however_often_it_is_raised(told: Told) -> None:
    for number in range(5):
        told.alert("BooksBroken", deep="no")
        told.alert("ProcessDown", machine="m1", instance=f"hop-{number}")
    assert wait_until(lambda: len(told.names(machine="m1")) >= 5, WITHIN_S), told.posts
    assert wait_until(lambda: any("BooksBroken" in mail for mail in told.mails), WITHIN_S), told.mails
    told.alert("BooksBroken", deep="no")
    told.alert("HopStuck", topic="control")  # once this has come, a second telling would have
    assert wait_until(lambda: bool(told.names(topic="control")), WITHIN_S)
    assert told.names(deep="no") == ["BooksBroken"]
    assert all(mail.startswith("operators@example.org: ") for mail in told.mails)
    assert len([mail for mail in told.mails if "BooksBroken" in mail]) == 1


def test_what_is_silenced_is_not_told(told: Told) -> None:
    told.silence("province", "H26")
    told.alert("ProvinceSilent", province="H26")
    told.alert("ProvinceSilent", province="H63")
    assert wait_until(lambda: bool(told.names(province="H63")), WITHIN_S), told.posts
    assert told.names(province="H26") == []


def test_what_follows_from_another_is_not_told_beside_it(told: Told) -> None:
    told.alert("ObserverBlind", part="ledger")
    assert wait_until(lambda: bool(told.names(part="ledger")), WITHIN_S)
    told.alert("LedgerUnwitnessed", part="inhibited")
    told.alert("LedgerBehind", part="control")
    assert wait_until(lambda: bool(told.names(part="control")), WITHIN_S)
    assert told.names(part="inhibited") == []
