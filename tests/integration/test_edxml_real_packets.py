"""The real packets of the national axis, over the real exchange, and out again byte for byte.

The packets lie beside the repository, not in it. What their agencies would have sent before them is made of them here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest

from connectors.edxml.book import SENT, Kind
from connectors.edxml.connector import Connector
from exchange import Agency
from exchange.agencies.entries import Agency as AgencyEntry
from exchange.agencies.levels import Level
from exchange.backbone.hop import GROUP
from exchange.backbone.lag import await_members
from exchange.local.founding import listed
from exchange.local.waiting import wait_until
from exchange.signatures import SigningKey
from tests.support.gateways import Served, serving
from tests.support.running import Exchange

SHARED = Path(__file__).parents[2] / ".." / "shared"
FOLDER = SHARED / "data" / "edxml"
AXIS, OFFICE = FOLDER / "truclienthong", FOLDER / "api-gateway-ioffice"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not SHARED.is_dir(), reason="the shared folder with real edXML packets is not beside this repository"
    ),
]

SANDBOXES = ("VXP.SAAS.02", "VXP.SAAS.03")
OFFICE_PACKETS = (
    "1da394ba-2117-4354-a23f-6ec3e47ba81b.edxml",
    "b6e1f29d-cdc9-4fa7-8391-442e8566f14e.edxml",
    "9e272474-0603-48a2-b525-9cd1af689612.edxml",
)


@pytest.fixture(scope="module")
def keys(exchange: Exchange) -> dict[str, SigningKey]:
    """Of those who sent the packets; the sandbox's agencies are listed first."""
    since = date(2020, 1, 1)
    exchange.enter(
        [AgencyEntry(c, 1, c, Level.CENTRAL, "department", None, (), since, None, ()) for c in SANDBOXES]
    )  # fmt: skip
    seals = [exchange.world.authority.issue(code, code) for code in SANDBOXES]
    exchange.enter(listed(seals))
    return {seal.agency: seal.signing_key for seal in seals} | {
        code: exchange.cast.members[code].key for code in ("G22", "H41")
    }


@pytest.fixture(scope="module")
def served(exchange: Exchange, keys: dict[str, SigningKey]) -> Iterator[Served]:
    assert keys
    await_members(exchange.world.admin, GROUP, 1, 120)
    with serving(exchange.world) as one:
        yield one


@pytest.fixture(scope="module")
def connectors(
    served: Served, keys: dict[str, SigningKey], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Connector]]:
    with ExitStack() as stack:
        made = {}
        for code, key in keys.items():
            folder = tmp_path_factory.mktemp(code)
            agency = stack.enter_context(Agency(code, key, served.url, folder=folder / "agency"))
            made[code] = stack.enter_context(Connector(agency, folder, sandbox=True))
            made[code].receive()
        yield made


def passes(one: Connector, other: Connector, packet: Path) -> None:
    """Send a packet, and see it come out at the other side as it went in."""
    kind: Kind = "status" if "status" in packet.name else "edoc"
    assert one.send(packet).state == SENT

    def came() -> bool:
        other.receive()
        rows = other.book.received_list(kind, 0, 1 << 62, 99, 0)
        return any(other.packet(row.doc_id).read_bytes() == packet.read_bytes() for row in rows)

    assert wait_until(came, 60), f"{packet.name}: {sorted(other.dead_letters.iterdir())}"
    assert not list(other.dead_letters.iterdir())


def test_the_axis_packets(connectors: dict[str, Connector], tmp_path: Path) -> None:
    """A document, its way through the offices, an update that is agreed to, a recall that is refused, a take-back."""
    cabinet, province = connectors["G22"], connectors["H41"]
    recall, new = AXIS / "edoc_revocation.edxml", tmp_path / "new.edxml"
    new.write_bytes(recall.read_bytes().replace(b"BussinessDocType>1<", b"BussinessDocType>0<"))
    passes(cabinet, province, new)
    for name in ("status_inbox_ 01", "status_acceptance_03", "status_finish_06"):
        passes(province, cabinet, AXIS / f"{name}.edxml")
    passes(cabinet, province, AXIS / "edoc_update.edxml")
    passes(province, cabinet, AXIS / "status_change-acceptance_15.edxml")
    passes(cabinet, province, recall)
    refused = tmp_path / "status_16.edxml"
    agreed = (AXIS / "status_change-acceptance_15.edxml").read_bytes()
    refused.write_bytes(agreed.replace(b"StatusCode>15<", b"StatusCode>16<"))
    passes(province, cabinet, refused)
    passes(cabinet, province, AXIS / "status_cancellation_13.edxml")


@pytest.mark.parametrize("name", OFFICE_PACKETS)
def test_the_office_packets(connectors: dict[str, Connector], name: str) -> None:
    """From a sandbox, with lower-case codes; two of them are addressed to their own sender."""
    sender = connectors["VXP.SAAS.03"]
    packet = OFFICE / name
    recipient = connectors["VXP.SAAS.02"] if b"vxp.saas.02" in packet.read_bytes() else sender
    passes(sender, recipient, packet)
