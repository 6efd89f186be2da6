"""A Merkle tree as an auditor grows it: leaf by leaf, as the perfect subtrees that it falls into.

Guarantees: shares no code with the ledger; holds one hash for each bit of the size, and of each tile level the hashes
of the tile that isn't full yet.

Source: RFC 6962 §2.1; C2SP tlog-tiles v0.1.0 (a tile level is eight levels of the tree).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from exchange.auditor.deep.files import WIDTH

TILE_HEIGHT = 8
EMPTY = sha256().digest()


class Tree:
    """Grows by `add`. `full`: told each tile above the leaves as it fills up: level, number, its hashes."""

    def __init__(self, full: Callable[[int, int, list[bytes]], None]) -> None:
        self.size = 0
        self.edges: dict[int, list[bytes]] = {}
        """By tile level above the leaves, the hashes of the tile that isn't full."""
        self._full = full
        self._stack: list[tuple[int, bytes]] = []

    def add(self, leaf_hash: bytes) -> None:
        """Append a leaf by its hash."""
        self.size += 1
        node, height, stack = leaf_hash, 0, self._stack
        while stack and stack[-1][0] == height:
            node = sha256(b"\x01" + stack.pop()[1] + node).digest()
            height += 1
            if not height % TILE_HEIGHT:
                self._note(height // TILE_HEIGHT, node)
        stack.append((height, node))

    def root(self) -> bytes:
        """The root of all leaves so far."""
        if not self._stack:
            return EMPTY
        node = self._stack[-1][1]
        for _, left in reversed(self._stack[:-1]):
            node = sha256(b"\x01" + left + node).digest()
        return node

    def _note(self, level: int, node: bytes) -> None:
        edge = self.edges.setdefault(level, [])
        edge.append(node)
        if len(edge) == WIDTH:
            self.edges[level] = []
            self._full(level, (self.size >> TILE_HEIGHT * level) // WIDTH - 1, edge)
