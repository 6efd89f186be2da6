"""Renewing an evidence file: one more time-stamp over all that it holds, before the last one's authority ends.

Guarantees: only a file that holds is renewed, and what comes out has been verified; nothing that was in it changes but
page, guide and manifest, which name the stamps. Source: RFC 4998 §5.2.
"""

from __future__ import annotations

from collections.abc import Callable

from exchange.ledger.evidence import contents
from exchange.ledger.evidence.anchors import Anchors
from exchange.ledger.evidence.archive import unpack
from exchange.ledger.evidence.assembling import assemble
from exchange.ledger.evidence.stamped import covered
from exchange.ledger.evidence.verifying import verify

AskStamp = Callable[[bytes, str], bytes]
"""Gives a token over some bytes, whose digest is of the kind named."""


def renew(data: bytes, anchors: Anchors, now_ms: Callable[[], int], ask: AskStamp, digest: str = "sha256") -> bytes:
    """The file with one more stamp. `digest`: ``sha512`` takes over when SHA-256 is about to be broken.

    Raises: Rejected with the code of the step that fails, before or after; as `ask`.
    """
    verify(data, anchors, now_ms()).require()
    parts = unpack(data)
    names = contents.stamp_names(parts)
    sources = {name: parts[name] for name in (*contents.SOURCES, *names)}
    ordinary = [name for name in names if name != contents.CHECKPOINT_STAMP]
    sources[contents.next_stamp(len(ordinary))] = ask(covered(parts, names, digest), digest)
    renewed = assemble(sources)
    verify(renewed, anchors, now_ms()).require()
    return renewed
