"""dlt: eight resources over its REST client, requests in its own thread pool.

``iterate``: rows as they come, without a destination. ``normalize``: extracted and normalised, which is where dlt gives
rows their types; nothing is loaded.
"""

# mypy: ignore-errors

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["EXTRACT__WORKERS"] = "16"
os.environ["EXTRACT__MAX_PARALLEL_ITEMS"] = "64"

import dlt
from dlt.sources.helpers.rest_client import RESTClient


def main(job: str, upstream: str, usccs: list[str], names: list[str]) -> None:
    client = RESTClient(base_url=upstream)

    def resource(name: str) -> dlt.sources.DltResource:
        @dlt.defer
        def one(uscc: str) -> list[dict[str, object]]:
            return client.post(name, json={"uscc": uscc}).json()["rows"]

        def rows():
            for uscc in usccs:
                yield one(uscc)

        return dlt.resource(rows, name=name)

    @dlt.source
    def bureaus():
        return [resource(name) for name in names]

    started, cpu = time.perf_counter(), time.process_time()
    if job == "iterate":
        records = sum(1 for _ in bureaus())
    else:
        with tempfile.TemporaryDirectory() as folder:
            pipeline = dlt.pipeline("bureaus", pipelines_dir=folder, destination=dlt.destinations.dummy())
            pipeline.extract(bureaus())
            counts = pipeline.normalize().row_counts
            records = sum(counts[name] for name in names)
    print(records, time.perf_counter() - started, time.process_time() - cpu)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_text().split(), sys.argv[4:])
