"""The edXML reader turns any bytes into a packet or `Rejected`, and the packet's own bytes survive it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.edxml.packet import Packet, open_packet
from exchange.errors import Rejected
from tests.support.edxml import PLAN, document, packed, status

SEEDS = [document().encode(), document(content=packed(PLAN)).encode(), status("H41", "G22", "03").encode()]


def outcome(data: bytes) -> Packet | Rejected:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "packet.edxml"
        source.write_bytes(data)
        try:
            return open_packet(source, Path(folder))
        except Rejected as rejected:
            return rejected


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_junk(data: bytes) -> None:
    assert isinstance(outcome(data), Rejected)


@given(st.sampled_from(SEEDS), st.data())
@settings(max_examples=300, deadline=None)
def test_a_packet_spoiled(seed: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(seed) - 1))
    length = data.draw(st.integers(0, 40))
    spoiled = seed[:place] + data.draw(st.binary(max_size=8)) + seed[place + length :]
    assert isinstance(outcome(spoiled), Packet | Rejected)


@given(st.sampled_from(SEEDS[:2]), st.data())
@settings(max_examples=100, deadline=None)
def test_slim_bytes_are_the_packets_own(seed: bytes, data: st.DataObject) -> None:
    """Cut out is one range of base64 and nothing else, whatever stands around it."""
    comment = data.draw(st.text("ab \n<>é", max_size=20)).replace("<", "").replace(">", "")
    text = seed.replace(b"<AttachmentEncoded>", f"<!--{comment}--><AttachmentEncoded>".encode())
    packet = outcome(text)
    assert isinstance(packet, Packet)
    start = next(i for i, (a, b) in enumerate(zip(packet.xml, text, strict=False)) if a != b)
    end = start + len(text) - len(packet.xml)
    assert text[:start] + text[end:] == packet.xml
    assert b"<" not in text[start:end]
