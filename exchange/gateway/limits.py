"""Every bound that the gateway sets, in one table: units last in the names, the reason beside each."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one gateway process; the defaults are those of production."""

    body_bytes: int = 8 * MIB
    """A submission's body: 100 of the largest records, or a few thousand ordinary ones."""
    records: int = 1_000
    """Of one submission: what a producer batch takes without a second round trip."""
    form_bytes: int = 16 * 1024
    """A token request: an assertion has about 1 KiB."""
    draft_bytes: int = 256 * 1024
    """What is to be encoded: a statement has at most 32 KiB."""
    attachment_bytes: int = 2 * 1024 * MIB
    """As the gate's rule for a document's attachments."""
    unfinished: int = 100
    """Uploads of one agency that are under way: bounds what it lets lie in the store."""
    body_chunk_s: float = 20.0
    """The longest silence within a body; a slow loris is let go."""
    body_bytes_per_s_min: float = 1024.0
    """On the average, once a body has taken longer than a silence may: one that drips would hold a place for ever."""
    produce_s: float = 30.0
    """The longest wait for the broker's acknowledgement."""
    wait_s: float = 60.0
    """The longest long poll: below the idle timeouts of common proxies."""
    page: int = 500
    """Deliveries in one answer."""
    page_bytes: int = 4 * MIB
    """Record bytes in one answer."""
    scan_bytes: int = 64 * MIB
    """Inbox bytes read for one answer when the cursor is old; then the answer says that there is more."""
    scans: int = 4
    """Reads of old inbox at a time, each with a connection of its own."""
    recent_bytes: int = 64 * MIB
    """The newest deliveries kept in memory, over all inboxes: they answer the long polls."""
    polls: int = 16
    """Long polls and event streams of one agency at a time."""
    uploads: int = 8
    """Uploads and downloads of one agency at a time."""
    submissions: int = 8
    """Submissions of one agency at a time: bounds the bodies that it makes us hold."""
    statements_per_s: float = 500.0
    """Submissions of one agency, sustained: one sender's flood must not move the others."""
    statements_burst: int = 5_000
    requests_per_s: float = 50.0
    """Other requests of one agency, sustained."""
    requests_burst: int = 500
    tokens_per_s: float = 5.0
    """Token requests of one network address, sustained: each costs us a signature check. A provincial centre asks for
    hundreds of agencies from one address."""
    tokens_burst: int = 600
    assertion_s: int = 300
    """The longest life of a client assertion (RFC 7523 §3 leaves it to us)."""
    clock_skew_s: int = 30
    """A participant's clock may be off by so much."""
    token_s: int = 600
    """The life of an access token."""
    remembered: int = 100_000
    """Assertions remembered against replay; when they are all alive, new ones wait."""
    lag_records: int = 200_000
    """Submissions that may wait for the hop before new ones are told to come back later."""
    lag_every_s: float = 2.0
    """How often the hop's lag is looked at."""
    directory_every_s: float = 0.2
    """How often the directory is followed."""
    found: int = 50
    """Agencies in one answer."""
    lookups: int = 4
    """Questions to the trace store at a time."""
