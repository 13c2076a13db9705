"""singer-sdk: a tap of eight REST streams, one partition per enterprise; its messages go to /dev/null and are counted.

Its streams are pulled one after the other, as the SDK does it.
"""

# mypy: ignore-errors
# ruff: noqa: ARG002, RUF012 (what the SDK calls and reads so)

import logging
import os
import sys
import time
from pathlib import Path

from singer_sdk import RESTStream, Tap


def main(upstream: str, usccs: list[str], names: list[str]) -> None:
    counted = [0]

    def stream(tap: Tap, of: str) -> RESTStream:
        class Bureau(RESTStream):
            name = of
            path = f"/{of}"
            url_base = upstream
            http_method = "POST"
            records_jsonpath = "$.rows[*]"
            primary_keys = ()
            schema = {"type": "object", "properties": {}, "additionalProperties": True}
            partitions = [{"uscc": uscc} for uscc in usccs]
            state_partitioning_keys = ()

            def prepare_request_payload(self, context, next_page_token):
                return {"uscc": context["uscc"]}

            def post_process(self, row, context=None):
                counted[0] += 1
                return row

        return Bureau(tap)

    class Bureaus(Tap):
        name = "tap-bureaus"
        config_jsonschema = {"type": "object", "properties": {}}

        def discover_streams(self):
            return [stream(self, name) for name in names]

    logging.disable(logging.CRITICAL)
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    started, cpu = time.perf_counter(), time.process_time()
    Bureaus(config={}).sync_all()
    sys.stdout.flush()
    took = time.perf_counter() - started, time.process_time() - cpu
    os.write(out, f"{counted[0]} {took[0]} {took[1]}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).read_text().split(), sys.argv[3:])
