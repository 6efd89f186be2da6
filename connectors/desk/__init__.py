"""The desk: pages on this machine for a clerk whose commune has no document system."""
