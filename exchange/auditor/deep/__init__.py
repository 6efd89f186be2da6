"""The deep audit: signatures, ledger and trace store, each derived again from the topics and compared."""

from exchange.auditor.deep.auditing import Deep
from exchange.auditor.deep.files import Files
from exchange.auditor.own_word import Voice

__all__ = ["Deep", "Files", "Voice"]
