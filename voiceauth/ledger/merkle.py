# SPDX-License-Identifier: Apache-2.0
"""The Merkle tree of RFC 6962 over hashed entries: roots, inclusion and consistency proofs.

A leaf is the hash of an entry's own hash, so a tree can be built, and a proof checked, without the
entries' content. Leaves and inner nodes are hashed under different prefixes (0 and 1), so that one
can never pass for the other.

Example:
    >>> leaves = [leaf_hash(bytes([n])) for n in range(5)]
    >>> path = inclusion_proof(leaves, 2)
    >>> includes(leaves[2], 2, 5, path, root(extended(EMPTY, leaves)))
    True
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from voiceauth.errors import InternalError

HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Frontier:
    """All of a tree that is needed to let it grow: at most one hash per power of two.

    Attributes:
        size: number of leaves.
        peaks: roots of its complete subtrees, largest first; one per bit set in ``size``.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = field(default=(), repr=False)


EMPTY = Frontier()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def extended(frontier: Frontier, leaves: Iterable[bytes]) -> Frontier:
    """Return the tree with further leaf hashes at its end."""
    size, peaks = frontier.size, list(frontier.peaks)
    for leaf in leaves:
        node, filled = leaf, size
        while filled & 1:
            node = node_hash(peaks.pop(), node)
            filled >>= 1
        peaks.append(node)
        size += 1
    return Frontier(size, tuple(peaks))


def root(frontier: Frontier) -> bytes:
    """Return the root hash; that of an empty tree is SHA-256 of nothing."""
    if not frontier.peaks:
        return hashlib.sha256(b"").digest()
    node = frontier.peaks[-1]
    for peak in reversed(frontier.peaks[:-1]):
        node = node_hash(peak, node)
    return node


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the hashes that lead from one leaf to the root.

    Args:
        leaves: leaf hashes of the whole tree.
        index: zero-based place of the leaf.

    Raises:
        InternalError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise InternalError(detail=f"no leaf {index} in a tree of {len(leaves)}")
    if len(leaves) == 1:
        return ()
    cut = _split(len(leaves))
    if index < cut:
        return (*inclusion_proof(leaves[:cut], index), _root(leaves[cut:]))
    return (*inclusion_proof(leaves[cut:], index - cut), _root(leaves[:cut]))


def consistency_proof(leaves: Sequence[bytes], earlier: int) -> tuple[bytes, ...]:
    """Return the hashes that show that a tree only grew.

    Args:
        leaves: leaf hashes of the later tree.
        earlier: size of the earlier one, at least 1.

    Raises:
        InternalError: the earlier tree is empty, or larger than the later one.
    """
    if not 1 <= earlier <= len(leaves):
        raise InternalError(detail=f"a tree of {len(leaves)} has no earlier one of {earlier}")
    return _shared(leaves, earlier, whole=True)


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root_hash: bytes) -> bool:
    """Return whether ``proof`` shows the leaf at ``index`` of the tree of ``size`` and root.

    The algorithm of RFC 9162, 2.1.3.2; the proof's length is checked by the way.
    """
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, leaf
    for part in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(part, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, part)
        place, last = place >> 1, last >> 1
    return last == 0 and hmac.compare_digest(node, root_hash)


def extends(earlier: tuple[int, bytes], later: tuple[int, bytes], proof: Sequence[bytes]) -> bool:
    """Return whether ``proof`` shows that the later tree begins with the earlier one.

    Args:
        earlier: size and root of the earlier tree, at least one leaf.
        later: size and root of the later one.
        proof: from ``consistency_proof``.

    The algorithm of RFC 9162, 2.1.4.2.
    """
    (first, first_root), (second, second_root) = earlier, later
    if not 1 <= first <= second:
        return False
    if first == second:
        return not proof and hmac.compare_digest(first_root, second_root)
    parts = list(proof) if first & (first - 1) else [first_root, *proof]
    if not parts:
        return False
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = parts[0]
    for part in parts[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(part, old), node_hash(part, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, part)
        place, last = place >> 1, last >> 1
    same = hmac.compare_digest(old, first_root) and hmac.compare_digest(new, second_root)
    return last == 0 and same


def _shared(leaves: Sequence[bytes], earlier: int, *, whole: bool) -> tuple[bytes, ...]:
    """RFC 6962's SUBPROOF; ``whole`` while the earlier tree is a complete part of this one."""
    if earlier == len(leaves):
        return () if whole else (_root(leaves),)
    cut = _split(len(leaves))
    if earlier <= cut:
        return (*_shared(leaves[:cut], earlier, whole=whole), _root(leaves[cut:]))
    return (*_shared(leaves[cut:], earlier - cut, whole=False), _root(leaves[:cut]))


def _split(size: int) -> int:
    """Return the largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


def _root(leaves: Sequence[bytes]) -> bytes:
    return root(extended(EMPTY, leaves))
