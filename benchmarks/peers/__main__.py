"""``make peers``: enterprises times eight data sets pulled into records, side by side with three others in one run.

All ask the same quiet upstream (benchmarks.upstream) for the same JSON, with one process on one core each, in turn;
upstream has the other core. The others run in environments of their own (folders below ``--venvs``).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.__main__ import uscc
from benchmarks.processes import ROOT, python, server
from benchmarks.upstream import replies

PEERS = {
    "dlt": {"dlt, rows as they come": ["pull_dlt", "iterate"], "dlt, normalised": ["pull_dlt", "normalize"]},
    "airbyte-cdk": {"airbyte-cdk": ["pull_airbyte"]},
    "singer-sdk": {"singer-sdk": ["pull_singer"]},
}
"""Environment, and what is run in it: script and arguments."""


def _version(interpreter: str, name: str) -> str:
    asked = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.run([interpreter, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def _pull(command: list[str]) -> tuple[int, float, float]:
    """Records, seconds, seconds of CPU."""
    done = subprocess.run(
        ["taskset", "-c", "0", *command], cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ
    )
    if done.returncode:
        raise RuntimeError(f"{command[:3]}: {done.stderr[-2000:]}")
    records, wall, cpu = done.stdout.split()[-3:]
    return int(records), float(wall), float(cpu)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("--enterprises", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--venvs", type=Path, default=ROOT / ".tools" / "peers")
    given = parser.parse_args()
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores", flush=True)
    names = [path.removeprefix("/") for path in replies()]
    found: dict[str, list[tuple[int, float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, server(python("benchmarks.upstream"), 1) as (upstream, _):
        usccs = Path(folder) / "usccs"
        usccs.write_text("\n".join(uscc(n) for n in range(given.enterprises)))
        commands = {"xinqiao": [sys.executable, "-m", "benchmarks.peers.pull_xinqiao", upstream.url, str(usccs)]}
        for environment, jobs in PEERS.items():
            interpreter = str(given.venvs / environment / "bin" / "python")
            print(f"{environment} {_version(interpreter, environment)}", flush=True)
            for name, (script, *arguments) in jobs.items():
                file = str(ROOT / "benchmarks" / "peers" / f"{script}.py")
                commands[name] = [interpreter, file, *arguments, upstream.url, str(usccs), *names]
        for turn in range(given.rounds):
            for name, command in commands.items():
                records, wall, cpu = _pull(command)
                found.setdefault(name, []).append((records, wall, cpu))
                print(
                    f"round {turn + 1} {name}: {records} records, {records / wall:.0f} records/s, "
                    f"{cpu / records * 1e6:.1f} µs CPU per record",
                    flush=True,
                )
    if len({records for pulls in found.values() for records, _, _ in pulls}) != 1:
        raise RuntimeError("not all pulled the same records")
    figures = {
        name: {
            "records": pulls[0][0],
            "records_per_second": round(statistics.median(r / w for r, w, _ in pulls)),
            "cpu_us_per_record": round(statistics.median(c / r for r, _, c in pulls) * 1e6, 1),
        }
        for name, pulls in found.items()
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
