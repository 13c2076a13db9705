"""Run by tests/test_log_others.py under a Python that has ``aics-tlog``, a verifier of C2SP logs written by others.

Reads one JSON object from standard input and answers with one: nothing of this project is imported here.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

from aics_tlog import MerkleTree, VKey, verify_checkpoint
from aics_tlog.note import parse_note, parse_vkey
from aics_tlog.tiles import FileSystemTileReader, consistency_proof_from_tiles
from aics_tlog.tree import verify_consistency
from aics_tlog.verified import audit_tiles


def verdict(folder: Path, log: VKey, witness: VKey, old: str | None) -> str:
    """``ok``, or what is wrong: the signatures, any tile, any entry, or the history since a remembered head."""
    try:
        note = parse_note((folder / "checkpoint").read_bytes())
        head = verify_checkpoint(note, log, [witness], quorum=1, expected_origin=log.name)
        if not head.ok:
            return f"checkpoint: {head.error}"
        reader = FileSystemTileReader(folder)
        audit_tiles(reader, head.size, head.root)
        if old is not None:
            before = verify_checkpoint(parse_note(old.encode()), log)
            proof = consistency_proof_from_tiles(reader, before.size, head.size)
            if not before.ok or not verify_consistency(before.size, head.size, before.root, head.root, proof):
                return "history: not the head of a prefix"
    except (ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


def proofs(leaves: list[bytes], sizes: list[int]) -> dict[str, Any]:
    def texts(nodes: list[bytes]) -> list[str]:
        return [base64.b64encode(node).decode() for node in nodes]

    tree = MerkleTree(leaves)
    return {
        "roots": [base64.b64encode(tree.root(n)).decode() for n in sizes],
        "inclusion": {f"{i} {n}": texts(tree.inclusion_proof(i, n)) for n in sizes for i in range(n)},
        "consistency": {f"{m} {n}": texts(tree.consistency_proof(m, n)) for n in sizes for m in range(1, n + 1)},
    }


def main() -> None:
    asked = json.load(sys.stdin)
    answer: dict[str, Any] = {}
    if "folders" in asked:
        log, witness = parse_vkey(asked["log"]), parse_vkey(asked["witness"])
        answer["verdicts"] = [verdict(Path(f), log, witness, asked.get("old")) for f in asked["folders"]]
    if "leaves" in asked:
        answer |= proofs([leaf.encode() for leaf in asked["leaves"]], asked["sizes"])
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
