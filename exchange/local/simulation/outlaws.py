"""Keys whose certificates are good for nothing: what a thief or a careless clerk would sign with."""

from __future__ import annotations

from pathlib import Path

from exchange.agencies.entries import Agency
from exchange.backbone.clients import Config
from exchange.local.authority import Authority
from exchange.local.founding import listed, now_ms, publish, revocations
from exchange.signatures import SigningKey

DAY_MS = 86_400_000


def outlaw_keys(authority: Authority, base: Config, agency: Agency) -> dict[str, SigningKey]:
    """One key for each thing that can be wrong with a certificate of `agency`, by its name.

    All but ``unknown`` are listed in the directory, for a certificate can be wrong and listed.
    """
    now, code, name = now_ms(), agency.code, agency.name
    foreign = Authority.generate(Path("nowhere"))
    made = {
        "expired": authority.issue(code, name, not_before_ms=now - 400 * DAY_MS, not_after_ms=now - DAY_MS),
        "not_yet_valid": authority.issue(code, name, not_before_ms=now + DAY_MS, not_after_ms=now + 9 * DAY_MS),
        "revoked": authority.issue(code, name),
        "wrong_usage": authority.issue(code, name, usage="encrypt"),
        "unknown_issuer": foreign.issue(code, name),
        "unknown": authority.issue(code, name),
    }
    authority.revoke(made["revoked"].certificate, now - 1000, reason="keyCompromise")
    shown = [one for reason, one in made.items() if reason != "unknown"]
    publish(base, authority, [*listed(shown), revocations(authority)])
    return {reason: one.signing_key for reason, one in made.items()}
