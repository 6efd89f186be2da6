"""How long something took, as a histogram: counts in buckets that grow by a tenth, so sums of sketches are sketches.

Guarantees: a percentile read from counts is at most a tenth above the true one, and never below it, up to
`MS_MAX`; up to 20 ms it is exact. Buckets are whole numbers out of one table, the same on every machine, and counts add
up like any other: over partitions, windows, and what is counted again after a kill.

Source: Masson, Rim, Lee, "DDSketch" (VLDB 2019), whose buckets these are, without those that it would collapse.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

MS_MAX = 2**32
"""Fifty days."""


def _bounds() -> list[int]:
    bounds = [0]
    while bounds[-1] < MS_MAX:
        bounds.append(max(bounds[-1] + 1, bounds[-1] * 11 // 10))
    return bounds


BOUNDS_MS = _bounds()
"""The longest time that falls into each bucket."""


def bucket_of(ms: int) -> int:
    """The bucket of a time; below zero (the broker's clock stepped back) is none, beyond `MS_MAX` the last one."""
    return bisect_left(BOUNDS_MS, min(max(ms, 0), MS_MAX))


def percentile(counts: Mapping[int, int], share: float) -> int | None:
    """The time, in ms, that this share of what was counted (by bucket) took at most; None if nothing was."""
    rank, seen = share * sum(counts.values()), 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= rank and counts[bucket]:
            return BOUNDS_MS[bucket]
    return None
