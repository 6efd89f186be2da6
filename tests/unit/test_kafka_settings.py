"""What the embedded brokers are told about agencies, and that the page for other clusters says the same."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from cryptography import x509

from exchange.local.home import Home
from exchange.local.kafka import KafkaCluster
from exchange.local.kafka_settings import OUTSIDE, Node, server_properties
from exchange.local.listener import ensure_certificate

PAGE = Path(__file__).parents[2] / "docs" / "direct-kafka.md"


def told(node: Node) -> dict[str, str]:
    """A broker's settings."""
    lines = server_properties(node, [node], "data").splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_the_page_shows_the_brokers_own_settings() -> None:
    blocks = re.findall(r"```properties\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "".join(f"{name}={value}\n" for name, value in OUTSIDE.items()) in blocks


def test_no_listener_is_open_unless_it_was_asked_for() -> None:
    closed, opened = told(Node(1, 2001, 2002)), told(Node(1, 2001, 2002, 2003))
    assert "OUTSIDE" not in str(closed)
    assert opened["listeners"] == f"{closed['listeners']},OUTSIDE://127.0.0.1:2003"
    assert opened["listener.security.protocol.map"].endswith(",OUTSIDE:SASL_SSL")
    assert "allow.everyone.if.no.acl.found" not in opened
    assert int(opened["transaction.max.timeout.ms"]) <= 10_000


def test_what_was_opened_stays_open(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    home.settle(3)
    assert KafkaCluster(home, 3).outside_servers is None
    with home.locked():
        KafkaCluster(home, 3).open_outside()
    servers = KafkaCluster(home, 3).outside_servers
    assert servers is not None
    assert len(set(servers.split(","))) == 3
    with home.locked():
        KafkaCluster(home, 3).open_outside()
    assert KafkaCluster(home, 3).outside_servers == servers


def test_the_listeners_key_is_its_owners_and_made_once(tmp_path: Path) -> None:
    both, public = tmp_path / "outside.pem", tmp_path / "kafka.crt.pem"
    ensure_certificate(both, public)
    made = both.read_bytes()
    assert stat.S_IMODE(both.stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate(public.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert public.read_bytes() in made
    assert b"PRIVATE KEY" not in public.read_bytes()
    ensure_certificate(both, public)
    assert both.read_bytes() == made
