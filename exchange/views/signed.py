"""Who signed what is in a path: the agency itself, its connector, a leader; by the directory, and by the submission.

Guarantees: a name here is that of a signature which the hop verified when it accepted the statement: an event holds the
seal's certificate, and the submission is taken for the document's only if its statement has the digest of the event.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from exchange.errors import Rejected
from exchange.signatures import View, decode_record
from exchange.signatures.certificates import parse
from exchange.views.trace_path import Path


def with_roles(path: Path, view: View) -> Path:
    """The path with who sealed each statement in it: the agency itself, or its connector."""
    found = {entry.certificate for entry in path.entries() if entry.certificate}
    listed = {certificate: view.certificate(bytes.fromhex(certificate)) for certificate in sorted(found)}
    held = {
        certificate: parse(entry.certificate).delegate or ""
        for certificate, entry in listed.items()
        if entry is not None and entry.role == "delegate"
    }
    roles = {certificate: entry.role for certificate, entry in listed.items() if entry is not None}
    return replace(path, roles=roles, delegates=held)


def with_leaders(path: Path, view: View, record: bytes | None) -> Path:
    """The path with the leaders who signed its document. `record`: its submission, None if that is no longer kept."""
    if path.document is None or record is None:
        return path
    try:
        fields = decode_record(record)
    except Rejected:
        return path  # another record stands there now: whatever was accepted can be decoded
    if sha256(fields["statement"]).hexdigest() != path.document.entry.sha256:
        return path
    listed = [view.certificate(signature["certificate"]) for signature in fields["signatures"]]
    leaders = [entry.leader for entry in listed if entry is not None and entry.role == "leader" and entry.leader]
    return replace(path, leaders=tuple(leaders))
