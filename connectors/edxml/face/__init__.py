"""The axis-compatible HTTP face: a document system that speaks to an axis today changes only the address."""

from connectors.edxml.face.app import Face, create_app
from connectors.edxml.face.server import Listening, Server, serve

__all__ = ["Face", "Listening", "Server", "create_app", "serve"]
