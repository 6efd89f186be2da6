"""Every bound of the webhook connector, in one table: units last in the names, the reason beside each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of posting; the defaults are those of production."""

    at_once: int = 8
    """Posts under way at a time, each of another document."""
    connect_s: float = 5.0
    silence_s: float = 30.0
    """The longest silence of the receiver, while it reads or before it answers."""
    post_s: float = 600.0
    """One post from its beginning to the answer's headers: 2 GiB at 4 MB/s."""
    answer_bytes: int = 2_000
    """Of the answer's body, kept for people."""
    pause_s_min: float = 1.0
    pause_s_max: float = 3_600.0
    """Between two attempts at the same, growing and varying."""
    retry_after_s_max: float = 86_400.0
    """A receiver may ask for so long a pause (RFC 9110 §10.2.3)."""
    give_up_s: float = 5 * 86_400.0
    """After so long it is a dead letter: a long weekend, and a day to notice."""
    failures: int = 5
    """In a row, of the receiver as a whole: then it is left alone for a while."""
    open_s_min: float = 2.0
    open_s_max: float = 300.0
    """How long it is left alone, growing; then one post tries."""
