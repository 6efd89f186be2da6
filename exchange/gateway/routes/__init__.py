"""The gateway's addresses, one module a subject."""
