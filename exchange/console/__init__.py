"""The console: pages in the browser for auditors and operators, out of the views; it decides and changes nothing."""

from exchange.console.deployment import Deployment, Health
from exchange.console.server import listen, serve
from exchange.console.session import Session

__all__ = ["Deployment", "Health", "Session", "listen", "serve"]
