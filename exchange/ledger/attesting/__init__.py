"""Others' words about the ledger's checkpoints: witnesses' cosignatures and time-stamps, behind the traffic."""

from exchange.ledger.attesting.kept import Ages, Limits, ages, kept_stamp
from exchange.ledger.attesting.loop import Attesting, Stamping, Watcher
from exchange.ledger.attesting.serving import AttestorServer

__all__ = ["Ages", "Attesting", "AttestorServer", "Limits", "Stamping", "Watcher", "ages", "kept_stamp"]
