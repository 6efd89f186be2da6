"""A trust bundle: what a verifier trusts, with dates, as one JSON file (``docs/trust-bundle.md``, version 1).

Guarantees: any bytes become `Anchors` or Misconfigured, which lists every problem; nothing in it is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from exchange.errors import Misconfigured
from exchange.ledger.evidence.anchors import ALWAYS_MS, Anchors, Key, Root, Term, root
from exchange.ledger.notes import COSIGNATURE, SIGNATURE, VerifierKey

FORMAT, VERSION = "exchange-trust", 1
BUNDLE_BYTES_MAX = 1024 * 1024
ENTRIES_MAX = 1_000

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_FIELDS = {"format", "version", "made", "roots", "time_stamps", "ledgers", "witnesses", "witnesses_needed"}


def write_bundle(anchors: Anchors, made_ms: int) -> bytes:
    """The bundle of some anchors, with all dates written out."""
    found = {
        "format": FORMAT,
        "version": VERSION,
        "made": _time(made_ms),
        "roots": [_root_entry(one) for one in anchors.roots],
        "time_stamps": [_root_entry(one) for one in anchors.time_stamps],
        "ledgers": [{"key": str(one.key), **_dates(one.term)} for one in anchors.ledgers],
        "witnesses": [{"key": str(one.key), **_dates(one.term)} for one in anchors.witnesses],
        "witnesses_needed": anchors.witnesses_needed,
    }
    return (json.dumps(found, indent=1) + "\n").encode()


def is_bundle(data: bytes) -> bool:
    """Whether somebody means a bundle: it begins like JSON, not like PEM."""
    return data.lstrip()[:1] == b"{"


def read_bundle(data: bytes) -> Anchors:
    """Read a bundle; Misconfigured with all that is wrong in it."""
    try:
        found = json.loads(data) if len(data) <= BUNDLE_BYTES_MAX else None
    except (ValueError, RecursionError) as exc:
        raise Misconfigured([f"the trust bundle isn't JSON: {exc!r}"[:200]]) from exc
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise Misconfigured([f"no trust bundle of at most {BUNDLE_BYTES_MAX} bytes"])
    if found.get("version") != VERSION or isinstance(found["version"], bool):
        raise Misconfigured([f"a trust bundle of version {str(found.get('version'))[:20]}, this tool reads {VERSION}"])
    problems = [f"unknown or missing: {name}"[:80] for name in sorted(found.keys() ^ _FIELDS)]
    roots = _each(found, "roots", _root, problems)
    time_stamps = _each(found, "time_stamps", _root, problems)
    ledgers = _each(found, "ledgers", lambda entry: _key(entry, SIGNATURE), problems)
    witnesses = _each(found, "witnesses", lambda entry: _key(entry, COSIGNATURE), problems)
    needed = found.get("witnesses_needed")
    if not isinstance(needed, int) or isinstance(needed, bool) or not 0 <= needed <= len(witnesses):
        problems.append(f"witnesses_needed: a number from 0 to {len(witnesses)}")
        needed = 0
    if not roots or not ledgers:
        problems.append("a root and a ledger at least must be trusted")
    if problems:
        raise Misconfigured([f"trust bundle: {problem}" for problem in problems])
    return Anchors(tuple(roots), tuple(time_stamps), tuple(ledgers), tuple(witnesses), needed)


def _each(found: dict[str, Any], name: str, read: Callable[[dict[str, Any]], Any], problems: list[str]) -> list[Any]:
    entries = found.get(name)
    if not isinstance(entries, list) or len(entries) > ENTRIES_MAX:
        problems.append(f"{name}: a list of at most {ENTRIES_MAX}")
        return []
    made = []
    for number, entry in enumerate(entries, 1):
        try:
            made.append(read(entry))
        except Misconfigured as exc:
            problems.append(f"{name} {number}: {exc.detail}")
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            problems.append(f"{name} {number}: {exc!r}"[:200])
    return made


def _root(entry: dict[str, Any]) -> Root:
    _require_fields(entry, "certificate")
    der = x509.load_pem_x509_certificate(entry["certificate"].encode()).public_bytes(Encoding.DER)
    own = root(der).term
    return root(der, _term(entry, own))


def _key(entry: dict[str, Any], kind: int) -> Key:
    _require_fields(entry, "key")
    key = VerifierKey.parse(entry["key"])
    if key.kind != kind:
        raise ValueError("a key of another kind")
    return Key(key, _term(entry, Term()))


def _require_fields(entry: dict[str, Any], name: str) -> None:
    if entry.keys() != {name, "from", "until"}:
        raise ValueError(f"fields {sorted(entry)}, not {name}, from, until")


def _term(entry: dict[str, Any], otherwise: Term) -> Term:
    from_ms = otherwise.from_ms if entry["from"] is None else _milliseconds(entry["from"])
    until_ms = otherwise.until_ms if entry["until"] is None else _milliseconds(entry["until"])
    if from_ms >= until_ms:
        raise ValueError("it ends before it begins")
    return Term(from_ms, until_ms)


def _milliseconds(text: str) -> int:
    return int(datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp()) * 1000


def _root_entry(one: Root) -> dict[str, object]:
    pem = x509.load_der_x509_certificate(one.certificate).public_bytes(Encoding.PEM).decode()
    return {"certificate": pem, **_dates(one.term)}


def _dates(term: Term) -> dict[str, object]:
    return {
        "from": _time(term.from_ms) if term.from_ms else None,
        "until": _time(term.until_ms) if term.until_ms < ALWAYS_MS else None,
    }


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime(_TIME)
