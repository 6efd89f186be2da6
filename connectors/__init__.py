"""Connectors: how foreign systems reach the exchange, one folder a system; they use the SDK only."""
