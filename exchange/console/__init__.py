"""The console: pages in the browser for auditors and operators, out of the views; it decides nothing."""

from exchange.console.deployment import Deployment, Health
from exchange.console.entrance import Accounts, Everybody
from exchange.console.server import listen, serve
from exchange.console.session import Session, everything

__all__ = ["Accounts", "Deployment", "Everybody", "Health", "Session", "everything", "listen", "serve"]
