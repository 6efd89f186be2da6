"""Time-stamping authorities for tests, at any time: a key certified by a world's root, and a clock that stands."""

from __future__ import annotations

from exchange.ledger.stamps import TimeStamper
from exchange.local.authority import DAY_MS, Authority
from exchange.local.issuing import Issued
from exchange.signatures import SigningKey

YEAR_MS = 365 * DAY_MS


def stamper(authority: Authority, at_ms: int, *, days: int = 3650, issued: Issued | None = None) -> TimeStamper:
    """An authority whose clock says `at_ms`; its certificate, made the day before, lasts `days`."""
    one = issued or authority.certify_stamps(at_ms - DAY_MS, at_ms + (days - 1) * DAY_MS)
    return TimeStamper(SigningKey.of(one.private_key, one.certificate), one.certificate, lambda: at_ms)
