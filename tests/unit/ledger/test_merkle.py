# SPDX-License-Identifier: Apache-2.0
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceauth.errors import InternalError
from voiceauth.ledger.merkle import (
    EMPTY,
    consistency_proof,
    extended,
    extends,
    includes,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
)

# The published test vectors of RFC 6962's reference implementation (certificate-transparency).
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(one) for one in INPUTS]


def root_of(leaves: list[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    return root(extended(EMPTY, leaves))


def hexes(*texts: str) -> tuple[bytes, ...]:
    """Read hashes."""
    return tuple(bytes.fromhex(text) for text in texts)


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_rfc_6962(size: int) -> None:
    """Every tree of the published vectors has the published root."""
    assert root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    """RFC 6962, 2.1."""
    assert root(EMPTY) == hashlib.sha256(b"").digest()


def test_the_published_inclusion_proofs_are_made() -> None:
    """The audit paths of the published vectors."""
    assert inclusion_proof(LEAVES[:1], 0) == ()
    assert inclusion_proof(LEAVES, 0) == hexes(
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    )
    assert inclusion_proof(LEAVES[:5], 1) == hexes(
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    )


def test_the_published_consistency_proofs_are_made() -> None:
    """The consistency proofs of the published vectors."""
    assert consistency_proof(LEAVES[:1], 1) == ()
    assert consistency_proof(LEAVES, 6) == hexes(
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    )


@given(size=st.integers(1, 40), data=st.data())
def test_a_changed_inclusion_proof_shows_nothing(size: int, data: st.DataObject) -> None:
    """Another leaf, place, size, root, a missing, added or changed hash: no inclusion."""
    leaves = [leaf_hash(bytes([n])) for n in range(size)]
    index = data.draw(st.integers(0, size - 1))
    proof, top = inclusion_proof(leaves, index), root_of(leaves)
    stranger = leaf_hash(b"stranger")

    assert includes(leaves[index], index, size, proof, top)
    assert not includes(stranger, index, size, proof, top)
    assert not includes(leaves[index], index, size, proof, stranger)
    assert not includes(leaves[index], size, size, proof, top)
    assert not includes(leaves[index], -1, size, proof, top)
    assert not includes(leaves[index], index, size, (*proof, stranger), top)
    assert not includes(leaves[index], index, size, (stranger, *proof), top)
    for place in range(len(proof)):
        assert not includes(leaves[index], index, size, proof[:place] + proof[place + 1 :], top)
        changed = (*proof[:place], stranger, *proof[place + 1 :])
        assert not includes(leaves[index], index, size, changed, top)


@given(later=st.integers(1, 40), data=st.data())
def test_a_changed_consistency_proof_shows_nothing(later: int, data: st.DataObject) -> None:
    """Another earlier tree, later tree, or a missing, added or changed hash: no consistency."""
    leaves = [leaf_hash(bytes([n])) for n in range(later)]
    earlier = data.draw(st.integers(1, later))
    old, new = (earlier, root_of(leaves[:earlier])), (later, root_of(leaves))
    proof, stranger = consistency_proof(leaves, earlier), leaf_hash(b"stranger")

    assert extends(old, new, proof)
    assert not extends((earlier, stranger), new, proof)
    assert not extends(old, (later, stranger), proof)
    assert not extends((0, old[1]), new, proof)
    assert not extends((later + 1, old[1]), new, proof)
    assert not extends(old, new, (*proof, stranger))
    assert earlier == later or not extends(old, new, ())
    for place in range(len(proof)):
        assert not extends(old, new, proof[:place] + proof[place + 1 :])
        assert not extends(old, new, (*proof[:place], stranger, *proof[place + 1 :]))


@given(later=st.integers(2, 40), data=st.data())
def test_a_rewritten_history_cannot_be_proved(later: int, data: st.DataObject) -> None:
    """No honest proof over other entries leads from the earlier root to the later one."""
    leaves = [leaf_hash(bytes([n])) for n in range(later)]
    earlier = data.draw(st.integers(1, later - 1))
    rewritten = [leaf_hash(b"other"), *leaves[1:]]

    assert not extends(
        (earlier, root_of(leaves[:earlier])),
        (later, root_of(rewritten)),
        consistency_proof(rewritten, earlier),
    )


def test_an_inner_node_does_not_pass_for_a_leaf() -> None:
    """The two kinds of hash have different prefixes: no second preimage from a shorter tree."""
    pair = node_hash(LEAVES[0], LEAVES[1])

    assert leaf_hash(LEAVES[0] + LEAVES[1]) != pair
    assert not includes(pair, 0, 4, inclusion_proof(LEAVES[:4], 0), root_of(LEAVES[:4]))


@pytest.mark.parametrize("cut", range(9))
def test_a_tree_grows_to_the_same_root(cut: int) -> None:
    """The frontier of any prefix is enough to go on."""
    assert root(extended(extended(EMPTY, LEAVES[:cut]), LEAVES[cut:])).hex() == ROOTS[-1]


def test_proofs_of_what_is_not_there_are_refused() -> None:
    """A leaf beyond the tree, an empty or a larger earlier tree."""
    for index in (-1, 8):
        with pytest.raises(InternalError):
            inclusion_proof(LEAVES, index)
    for earlier in (0, 9):
        with pytest.raises(InternalError):
            consistency_proof(LEAVES, earlier)
