"""airbyte-cdk: a declarative manifest, eight streams, one partition per enterprise, read by its concurrent source."""

# mypy: ignore-errors

import logging
import sys
import time
from pathlib import Path

from airbyte_cdk.models import (
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
    Type,
)
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource


def main(upstream: str, usccs: list[str], names: list[str]) -> None:
    streams = [
        {
            "type": "DeclarativeStream",
            "name": name,
            "primary_key": [],
            "schema_loader": {
                "type": "InlineSchemaLoader",
                "schema": {"type": "object", "properties": {}, "additionalProperties": True},
            },
            "retriever": {
                "type": "SimpleRetriever",
                "requester": {
                    "type": "HttpRequester",
                    "url_base": upstream,
                    "path": f"/{name}",
                    "http_method": "POST",
                    "request_body_json": {"uscc": "{{ stream_partition['uscc'] }}"},
                },
                "record_selector": {
                    "type": "RecordSelector",
                    "extractor": {"type": "DpathExtractor", "field_path": ["rows"]},
                },
                "partition_router": {"type": "ListPartitionRouter", "values": usccs, "cursor_field": "uscc"},
            },
        }
        for name in names
    ]
    manifest = {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": names[:1]},
        "streams": streams,
        "concurrency_level": {"type": "ConcurrencyLevel", "default_concurrency": 16, "max_concurrency": 16},
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }
    catalog = ConfiguredAirbyteCatalog(
        streams=[
            ConfiguredAirbyteStream(
                stream=AirbyteStream(name=name, json_schema={}, supported_sync_modes=[SyncMode.full_refresh]),
                sync_mode=SyncMode.full_refresh,
                destination_sync_mode=DestinationSyncMode.append,
            )
            for name in names
        ]
    )
    logger = logging.getLogger("airbyte")
    logger.setLevel(logging.ERROR)
    started, cpu = time.perf_counter(), time.process_time()
    source = ConcurrentDeclarativeSource(catalog=catalog, config={}, state=[], source_config=manifest)
    records = sum(m.type is Type.RECORD for m in source.read(logger, {}, catalog, []))
    print(records, time.perf_counter() - started, time.process_time() - cpu)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).read_text().split(), sys.argv[3:])
