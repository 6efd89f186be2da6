"""Merkle trees: RFC 6962's own definition, its published example, and every path of every small tree."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from exchange.errors import Rejected
from exchange.signatures.merkle import EMPTY_ROOT, leaf_hash, node_hash, paths, root, root_from_path

EXAMPLE = [leaf_hash(entry) for entry in (b"a", b"bc", b"")]
EXAMPLE_ROOT = "6015403706ae97dcea776e594364d037bbafc168547028106301c9ef9742b0e6"
SIZES = range(1, 40)


def by_definition(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word: split at the largest power of two below n."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(str(n).encode()) for n in range(size)]


def test_published_example() -> None:
    assert [leaf.hex()[:8] for leaf in EXAMPLE] == ["022a6979", "4075b6a6", "6e340b9c"]
    assert [leaf.hex()[-6:] for leaf in EXAMPLE] == ["24f93c", "70e188", "afa01d"]
    assert root(EXAMPLE).hex() == EXAMPLE_ROOT
    # RFC 6962 §2.1: the empty tree is the hash of nothing.
    assert root([]) == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_published_path() -> None:
    assert [one.hex()[:8] for one in paths(EXAMPLE)[1]] == ["022a6979", "6e340b9c"]
    assert root_from_path(EXAMPLE[1], 1, 3, paths(EXAMPLE)[1]).hex() == EXAMPLE_ROOT


@pytest.mark.parametrize("size", SIZES)
def test_root_is_that_of_the_definition(size: int) -> None:
    assert root(leaves_of(size)) == by_definition(leaves_of(size))


@pytest.mark.parametrize("size", SIZES)
def test_every_path_leads_to_the_root(size: int) -> None:
    leaves = leaves_of(size)
    top, found = root(leaves), paths(leaves)
    assert len(found) == size
    for index, path in enumerate(found):
        assert root_from_path(leaves[index], index, size, path) == top
        for other in range(size):
            if other != index:
                assert is_refused(leaves[index], other, size, path, top)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 33])
def test_a_hash_more_or_less_or_altered_fails(size: int) -> None:
    leaves = leaves_of(size)
    top = root(leaves)
    for index, path in enumerate(paths(leaves)):
        assert root_from_path(leaves[index], index, size, path) == top
        assert is_refused(leaves[index], index, size, [*path, bytes(32)], top)
        for place in range(len(path)):
            assert is_refused(leaves[index], index, size, path[:place] + path[place + 1 :], top)
            assert is_refused(leaves[index], index, size, [*path[:place], bytes(32), *path[place + 1 :]], top)


def is_refused(leaf: bytes, index: int, size: int, path: Sequence[bytes], top: bytes) -> bool:
    try:
        return root_from_path(leaf, index, size, path) != top
    except Rejected as rejected:
        return rejected.code == "batch.path"


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (1, 1), (0, 0), (0, -1), (3, 3)])
def test_index_must_be_in_the_tree(index: int, size: int) -> None:
    with pytest.raises(Rejected, match=r"batch\.path"):
        root_from_path(EXAMPLE[0], index, size, [])


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_length_of_the_path_is_the_trees(size: int) -> None:
    leaves = leaves_of(size)
    path = paths(leaves)[0]
    assert root_from_path(leaves[0], 0, size, path) == root(leaves)
    for other in ([*path, bytes(32)], path[:-1] if path else [bytes(32)] * 2):
        with pytest.raises(Rejected, match=r"batch\.path"):
            root_from_path(leaves[0], 0, size, other)


def test_a_node_is_no_leaf() -> None:
    left, right = leaves_of(2)
    assert leaf_hash(left + right) != node_hash(left, right) == root([left, right])


def test_no_paths_without_leaves() -> None:
    assert paths([]) == []
    assert paths(EXAMPLE[:1]) == [[]]
