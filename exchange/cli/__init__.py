"""The command line `exchange`."""

from exchange.cli.app import main

__all__ = ["main"]
