"""The Merkle tree against RFC 6962's own recursive definitions, and against published vectors."""

from base64 import b64decode
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.log.merkle import (
    EMPTY_ROOT,
    CompactRange,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# The leaf inputs and roots of certificate-transparency-go and transparency-dev/merkle (testonly/constants.go).
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
KNOWN = [leaf_hash(bytes.fromhex(text)) for text in INPUTS]

# transparency-dev/merkle testdata/inclusion/{1..4}/happy-path.json: index, size, proof.
INCLUSION = [
    (
        0,
        8,
        [
            "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
            "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
            "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=",
        ],
    ),
    (
        5,
        8,
        [
            "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
            "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
            "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
        ],
    ),
    (2, 3, ["+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU="]),
    (
        1,
        5,
        [
            "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
            "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
            "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
        ],
    ),
]
# transparency-dev/merkle testdata/consistency/{1..4}/happy-path.json: old size, new size, proof.
CONSISTENCY = [
    (
        1,
        8,
        [
            "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
            "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
            "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=",
        ],
    ),
    (
        6,
        8,
        [
            "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
            "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
            "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
        ],
    ),
    (2, 5, ["Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms="]),
    (
        6,
        7,
        [
            "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
            "sIaT7C5yFZcTBkHoIR5+7cy0wmQTlj7ubB4u0W/7Gl8=",
            "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
        ],
    ),
]

LEAVES = [leaf_hash(number.to_bytes(2, "big")) for number in range(300)]
sizes = st.integers(0, len(LEAVES))


def split(leaves: list[bytes]) -> int:
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return k


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    k = split(leaves)
    return node_hash(mth(leaves[:k]), mth(leaves[k:]))


def path(index: int, leaves: list[bytes]) -> tuple[bytes, ...]:
    """RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return ()
    k = split(leaves)
    if index < k:
        return (*path(index, leaves[:k]), mth(leaves[k:]))
    return (*path(index - k, leaves[k:]), mth(leaves[:k]))


def subproof(old: int, leaves: list[bytes], known: bool) -> tuple[bytes, ...]:
    """RFC 6962 section 2.1.2."""
    if old == len(leaves):
        return () if known else (mth(leaves),)
    k = split(leaves)
    if old <= k:
        return (*subproof(old, leaves[:k], known), mth(leaves[k:]))
    return (*subproof(old - k, leaves[k:], False), mth(leaves[:k]))


def stored(size: int) -> Callable[[int, int], bytes]:
    """A store of complete nodes that refuses to answer for any other."""

    def hash_at(level: int, index: int) -> bytes:
        assert 0 <= index < size >> level, "asked for a node that is not complete"
        return mth(LEAVES[index << level : (index + 1) << level])

    return hash_at


def test_the_empty_tree_includes_nothing_and_is_consistent_with_nothing() -> None:
    with pytest.raises(ProofError):
        verify_inclusion(0, 0, EMPTY_ROOT, (), EMPTY_ROOT)
    with pytest.raises(ProofError):
        verify_consistency(0, 0, (), EMPTY_ROOT, EMPTY_ROOT)
    with pytest.raises(ProofError):
        verify_consistency(0, 5, (), EMPTY_ROOT, mth(LEAVES[:5]))
    with pytest.raises(ProofError):
        inclusion_proof(0, 0, stored(0))
    with pytest.raises(ProofError):
        consistency_proof(0, 5, stored(5))
    with pytest.raises(ProofError):
        CompactRange().extend(()).inclusion(0)


def test_an_empty_proof_only_proves_a_tree_of_one_leaf_or_equal_trees() -> None:
    verify_inclusion(0, 1, LEAVES[0], (), LEAVES[0])
    verify_consistency(5, 5, (), mth(LEAVES[:5]), mth(LEAVES[:5]))
    with pytest.raises(ProofError):
        verify_inclusion(0, 2, LEAVES[0], (), LEAVES[0])
    with pytest.raises(ProofError):
        verify_consistency(3, 5, (), mth(LEAVES[:3]), mth(LEAVES[:5]))
    with pytest.raises(ProofError):
        verify_consistency(4, 5, (), mth(LEAVES[:4]), mth(LEAVES[:5]))
    with pytest.raises(ProofError):
        verify_consistency(5, 5, (), mth(LEAVES[:5]), mth(LEAVES[:4]))
    with pytest.raises(ProofError):
        verify_consistency(5, 5, (LEAVES[0],), mth(LEAVES[:5]), mth(LEAVES[:5]))


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size: int) -> None:
    assert root_of(KNOWN[:size]).hex() == ROOTS[size]
    assert CompactRange().extend(KNOWN[:size]).root.hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_published_inclusion_proofs_verify_and_are_the_ones_we_make(index: int, size: int, proof: list[str]) -> None:
    hashes = tuple(map(b64decode, proof))
    verify_inclusion(index, size, KNOWN[index], hashes, bytes.fromhex(ROOTS[size]))
    assert CompactRange().extend(KNOWN[:size]).inclusion(index) == hashes


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCY)
def test_published_consistency_proofs_verify_and_are_the_ones_we_make(old: int, new: int, proof: list[str]) -> None:
    hashes = tuple(map(b64decode, proof))
    verify_consistency(old, new, hashes, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]))
    known = consistency_proof(old, new, lambda level, index: root_of(KNOWN[index << level : (index + 1) << level]))
    assert known == hashes


def test_growing_from_every_small_size_to_every_other_gives_the_tree_and_the_proofs_of_the_rfc() -> None:
    for new in range(24):
        for old in range(new + 1):
            growth = CompactRange().extend(LEAVES[:old]).range.extend(LEAVES[old:new])
            assert growth.root == growth.range.root() == mth(LEAVES[:new])
            assert growth.size == growth.range.size == new
            for index in range(old, new):
                assert growth.inclusion(index) == path(index, LEAVES[:new])


@given(sizes, sizes, st.data())
@settings(max_examples=60, deadline=None)
def test_proofs_are_those_of_the_rfc_and_verify(one: int, two: int, data: st.DataObject) -> None:
    old, new = sorted((one, two))
    leaves = LEAVES[:new]
    root = mth(leaves)
    growth = CompactRange().extend(LEAVES[:old]).range.extend(LEAVES[old:new])
    assert growth.root == root_of(leaves) == root
    assert CompactRange.from_bytes(growth.range.to_bytes()) == growth.range
    if new > old:
        index = data.draw(st.integers(old, new - 1))
        assert growth.inclusion(index) == path(index, leaves)
    if new:
        index = data.draw(st.integers(0, new - 1))
        proof = inclusion_proof(index, new, stored(new))
        assert proof == path(index, leaves)
        verify_inclusion(index, new, leaves[index], proof, root)
    if old:
        proof = consistency_proof(old, new, stored(new))
        assert proof == subproof(old, leaves, True)
        verify_consistency(old, new, proof, mth(LEAVES[:old]), root)


@given(st.integers(1, 300), st.data())
@settings(max_examples=80, deadline=None)
def test_no_changed_proof_verifies(size: int, data: st.DataObject) -> None:
    leaves, old = LEAVES[:size], data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, size - 1))
    for proof, check in (
        (path(index, leaves), lambda proof: verify_inclusion(index, size, leaves[index], proof, mth(leaves))),
        (
            subproof(old, leaves, True),
            lambda proof: verify_consistency(old, size, proof, mth(leaves[:old]), mth(leaves)),
        ),
    ):
        at = data.draw(st.integers(0, len(proof)))
        bit = data.draw(st.integers(0, 255))
        wrong = [(*proof[:at], LEAVES[-1], *proof[at:])]
        if at < len(proof):
            changed = (int.from_bytes(proof[at], "big") ^ 1 << bit).to_bytes(32, "big")
            wrong += [(*proof[:at], *proof[at + 1 :]), (*proof[:at], changed, *proof[at + 1 :])]
        for bad in wrong:
            with pytest.raises(ProofError):
                check(bad)


@given(st.integers(2, 300), st.data())
@settings(max_examples=60, deadline=None)
def test_a_proof_does_not_hold_for_another_place_leaf_size_or_root(size: int, data: st.DataObject) -> None:
    leaves = LEAVES[:size]
    index, other = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True))
    proof, root = path(index, leaves), mth(leaves)
    for bad in (
        (other, size, leaves[index], root),
        (index, size, leaves[other], root),
        (index, size, leaves[index], leaves[index]),
        (index, index, leaves[index], root),
        (-1, size, leaves[index], root),
    ):
        with pytest.raises(ProofError):
            verify_inclusion(bad[0], bad[1], bad[2], proof, bad[3])
    old = data.draw(st.integers(1, size - 1))
    proof = subproof(old, leaves, True)
    for roots in ((mth(leaves[:old]), leaves[0]), (EMPTY_ROOT, root), (root, mth(leaves[:old]))):
        with pytest.raises(ProofError):
            verify_consistency(old, size, proof, *roots)
    with pytest.raises(ProofError):
        verify_consistency(size, old, proof, mth(leaves[:old]), root)


junk = st.one_of(
    st.none(), st.integers(-1, 2**70), st.binary(max_size=40), st.text(max_size=3), st.floats(), st.booleans()
)


@given(junk, junk, junk, st.lists(junk, max_size=4), junk)
@settings(max_examples=200)
def test_malformed_input_is_a_proof_error_and_nothing_else(a: object, b: object, c: object, d: list, e: object) -> None:
    with pytest.raises(ProofError):
        verify_inclusion(a, b, c, d, e)  # type: ignore[arg-type]
    with pytest.raises(ProofError):
        verify_consistency(a, b, d, c, e)  # type: ignore[arg-type]


@given(st.binary(max_size=120))
@settings(max_examples=200)
def test_a_stored_range_is_read_exactly_or_refused(data: bytes) -> None:
    try:
        assert CompactRange.from_bytes(data).to_bytes() == data
    except ProofError:
        assert len(data) != 8 + 32 * int.from_bytes(data[:8], "big").bit_count()


def test_a_growth_proves_only_its_own_leaves() -> None:
    growth = CompactRange().extend(LEAVES[:5]).range.extend(LEAVES[5:7])
    for index in (-1, 4, 7):
        with pytest.raises(ProofError):
            growth.inclusion(index)
