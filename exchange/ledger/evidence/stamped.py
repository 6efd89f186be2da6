"""The chain of time-stamps in an evidence file: each covers all before it, and is relied on until the next.

The first may be the checkpoint's own (`CHECKPOINT_STAMP`); each further one is over the digests of all proving parts
and of every stamp before it, so it keeps them true when the authority of the stamp before, or its algorithms, come to
their end.

Source: RFC 4998 §5 (archive time-stamp chain), in the text that ``sha256sum`` writes instead of its ASN.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exchange.errors import Rejected
from exchange.ledger.evidence import contents
from exchange.ledger.evidence.anchors import Anchors
from exchange.ledger.stamps import DIGESTS, Stamp, claim, verify_stamp

SKEW_MS_MAX = 300_000
"""Between the clocks of two authorities, or of one and the broker."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The verified stamps, oldest first, one at least. `ends_ms`: until when the last one can be relied on."""

    stamps: tuple[Stamp, ...]
    ends_ms: int


def covered(parts: Mapping[str, bytes], before: Sequence[str], digest: str) -> bytes:
    """What a stamp over everything is over: a line ``<hex>  <name>`` for each proving part and earlier stamp."""
    lines = (f"{DIGESTS[digest](parts[name]).hexdigest()}  {name}\n" for name in (*contents.SOURCES, *before))
    return "".join(lines).encode()


def check_chain(parts: Mapping[str, bytes], names: Sequence[str], anchors: Anchors, now_ms: int) -> Chain | None:
    """Verify the stamps `names`, in their order, each as of the next one's time, the last as of `now_ms`.

    None if there are none.

    Raises: Rejected ``stamp.*`` as `verify_stamp`, ``stamp.order``, ``stamp.in_future``, ``stamp.expired`` (and not
        renewed in time), ``trust.not_current`` (its authority wasn't trusted any more).
    """
    found = [_verified(parts, names, number, anchors) for number in range(len(names))]
    if not found:
        return None
    times = [stamp.time_ms for stamp in found]
    if times != sorted(times):
        raise Rejected("stamp.order", "a stamp is older than the one before it")
    if times[-1] > now_ms + SKEW_MS_MAX:
        raise Rejected("stamp.in_future", f"{names[-1]}: the clock here is behind it")
    ends_ms = 0
    for name, stamp, next_ms in zip(names, found, [*times[1:], max(now_ms, times[-1])], strict=True):
        ends_ms = _require_trusted(name, stamp, anchors, next_ms)
    return Chain(tuple(found), ends_ms)


def _verified(parts: Mapping[str, bytes], names: Sequence[str], number: int, anchors: Anchors) -> Stamp:
    """One stamp, over what it must be over."""
    token = parts[names[number]]
    digest = claim(token).digest
    content = parts[contents.CHECKPOINT]
    if names[number] != contents.CHECKPOINT_STAMP:
        content = covered(parts, names[:number], digest)
    return verify_stamp(token, DIGESTS[digest](content).digest(), [one.certificate for one in anchors.time_stamps])


def _require_trusted(name: str, stamp: Stamp, anchors: Anchors, at_ms: int) -> int:
    """The stamp may be relied on at `at_ms`; returns until when it may be."""
    if at_ms > stamp.ends_ms:
        raise Rejected("stamp.expired", f"{name}: {stamp.authority} ended before {at_ms} ms, not renewed in time"[:300])
    terms = [one.term for one in anchors.time_stamps if one.certificate == stamp.path[-1]]
    current = [term for term in terms if term.covers(stamp.time_ms) and term.covers(at_ms)]
    if not current:
        raise Rejected("trust.not_current", f"{name}: {stamp.authority} isn't trusted then"[:200])
    return min(stamp.ends_ms, max(term.until_ms for term in current) - 1)
