"""The archive: what leaves the topics lives on here, sealed under a key of each statement's own, until it is erased."""
