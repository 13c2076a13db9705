"""This project: eight manifests through registry and engine. It also signs every request, checks whose data came, and
turns each row into a canonical record of the consented fields, which the others are not asked to do."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.platforms import SECRETS, write_platforms
from connectors.base import Progress, Query, Subject
from connectors.ports import OpenGuard
from connectors.registry import load_connectors
from connectors.transport import AioTransport
from gateway import memory

SIDE_BY_SIDE = 16


async def main(upstream: str, usccs: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        folders = write_platforms(Path(folder), upstream)
        ids = [place.name for place in folders]
        transport = AioTransport(allowed_private=[upstream.removeprefix("http://")])
        reach = dict.fromkeys(ids, (True, None, SECRETS))
        connectors = load_connectors(transport=transport, platforms=reach, folders=folders, allow=ids)
        asked = [(c, d, fields) for c in connectors.values() for d, fields in c.datasets.items()]
        queue = iter([(one, uscc) for uscc in usccs for one in asked])
        records = 0
        guard, clock = OpenGuard(), asyncio.get_running_loop().time
        memory.settle()
        started, cpu = time.perf_counter(), time.process_time()

        async def pull() -> None:
            nonlocal records
            for (connector, dataset, fields), uscc in queue:
                query = Query(Subject(uscc, "-"), dataset, fields, (2015, 1), (2026, 12))
                reply = await connector.fetch(query, guard, clock() + 60, Progress())
                records += len(reply.records)

        async with asyncio.TaskGroup() as group:
            for _ in range(SIDE_BY_SIDE):
                group.create_task(pull())
        print(records, time.perf_counter() - started, time.process_time() - cpu)
        await transport.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_text().split()))
