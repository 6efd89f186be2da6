"""Accounts of the exchange's own people: who they are, what they may do, and for which agencies."""

from exchange.accounts.permissions import Permission, Rights, rights_of
from exchange.accounts.sessions import Session

__all__ = ["Permission", "Rights", "Session", "rights_of"]
