"""How long the stand-alone verifier takes for a large exported log, and how much memory; in a process of its own."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.log.merkle import CompactRange, leaf_hash
from consent.log.note import Checkpoint, Vkey, sign_checkpoint
from consent.log.tiles import Stamp, export

_ORIGIN = "xinqiao.invalid/benchmark"
_CHILD = """
import resource, sys, time
from consent.log.verify import main
started = time.perf_counter()
code = main(sys.argv[1:])
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, code, file=sys.stderr)
"""


def _entry(n: int) -> bytes:
    return (
        b'{"actor":"demo-bank","consent":"c%030x","data":{"permit":"m%030x","version":1},"event":"permit.closed",'
        b'"id":"e%030x","subject":"%032x","time":"2026-11-24T06:00:00.000+00:00","v":1}' % (n, n, n, n)
    )


class _Source:
    def __init__(self, size: int) -> None:
        self._size = size
        self._key = Ed25519PrivateKey.generate()

    def checkpoint_text(self) -> str:
        tree = CompactRange()
        for start in range(0, self._size, 4096):
            stop = min(start + 4096, self._size)
            tree = tree.extend([leaf_hash(_entry(n)) for n in range(start, stop)]).range
        return sign_checkpoint(Checkpoint(_ORIGIN, self._size, tree.root()), _ORIGIN, self._key)

    def vkeys(self) -> Iterable[str]:
        return [Vkey.of(_ORIGIN, self._key).text()]

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        return (_entry(n) for n in range(start, stop))

    def leaf_hashes(self, start: int, stop: int) -> Iterator[bytes]:
        return (leaf_hash(_entry(n)) for n in range(start, stop))

    def stamps(self) -> Iterable[Stamp]:
        return ()


def run(entries: int = 1_000_000) -> dict[str, float]:
    """Seconds and MiB of one verification of ``entries`` entries."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "log"
        started = time.perf_counter()
        export(_Source(entries), folder)
        exported = time.perf_counter() - started
        arguments = [sys.executable, "-c", _CHILD, str(folder), "--vkey", str(folder / "vkey")]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if done.returncode or "intact up to" not in done.stdout:
            raise RuntimeError(done.stdout + done.stderr)
        seconds, memory, _code = done.stderr.split()
        return {
            "entries": entries,
            "export_seconds": round(exported, 1),
            "verify_seconds": round(float(seconds), 1),
            "verify_mib": round(float(memory)),
        }


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)))
