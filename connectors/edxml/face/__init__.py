"""The axis-compatible HTTP face: a document system that speaks to an axis today changes only the address."""

from connectors.edxml.face.app import Face, create_app
from connectors.edxml.face.server import FaceServer, Listening, serve

__all__ = ["Face", "FaceServer", "Listening", "create_app", "serve"]
