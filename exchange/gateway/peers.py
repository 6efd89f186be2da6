"""Mutual TLS: the certificate that a client shows, verified in the handshake (`connections` hands it on).

Guarantees: a certificate that doesn't chain to our roots, through the authorities that the directory lists now, or is
outside its validity, ends the handshake; so does one whose key the client hasn't. Whom a certificate speaks for, and
whether it was revoked, is asked at each request, as for a token. Who shows none may come with a token.

Source: RFC 8446 §4.4.2; RFC 8705 (mutual TLS for OAuth clients), whose §3 binds a token to the certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path

from exchange.errors import Misconfigured
from exchange.gateway.directory import LiveDirectory


def context(certificate: Path, key: Path, directory: LiveDirectory) -> ssl.SSLContext:
    """The server's side. Authorities that the directory lists later are trusted with the next handshake.

    Raises: Misconfigured if certificate and key can't be used.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as exc:
        raise Misconfigured([f"no TLS with {certificate} and {key}: {exc}"]) from exc
    made.verify_mode = ssl.CERT_OPTIONAL
    known = set[bytes]()

    def trust(ders: Iterable[bytes]) -> None:
        for der in set(ders) - known:
            made.load_verify_locations(cadata=der)
            known.add(der)

    def refresh(*_: object) -> None:
        trust(entry.certificate for entry in directory.view.authorities())

    trust(directory.roots)
    refresh()
    made.sni_callback = refresh
    return made
