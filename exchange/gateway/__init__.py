"""The gateway: HTTP for participant systems, in front of the topics."""

from exchange.gateway.app import create_app
from exchange.gateway.ledger import LedgerPlace
from exchange.gateway.limits import Limits
from exchange.gateway.server import Listening, Server, serve
from exchange.gateway.state import Deployment, Gateway, running

__all__ = ["Deployment", "Gateway", "LedgerPlace", "Limits", "Listening", "Server", "create_app", "running", "serve"]
