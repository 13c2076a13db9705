"""Logs and metrics. One JSON line per request; no personal data, secret or raw exception in either.

The log takes only the keys that are listed here: a value under another key is dropped and counted, so that a careless
``log.info("…", body=…)`` cannot leak. What remains is swept for things that look like identifiers or credentials.
"""

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "request_id", "method", "route", "status", "code", "duration_ms", "lender",
        "consent_id", "profile_id", "revision", "permit_id", "platform", "dataset", "state", "reason", "attempts",
        "where", "host", "port", "size", "index", "version", "count", "error_type", "connectors",
    }
)  # fmt: skip
_LONGEST = 300
_LARGEST = 10**10
# Eleven digits or more, also in groups (mobile numbers, bank cards, resident ids with their X), credit codes, bearer
# tokens, JWTs. Broad on purpose: a masked harmless number costs nothing.
_SUSPECT = re.compile(
    r"\d(?:[ .-]?\d){10,}[Xx]?|[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}"
    r"|eyJ[A-Za-z0-9_-]{8,}\S*|bearer\s+\S+",
    re.IGNORECASE,
)
# Identifiers that this gateway made, and versions of manifests: hex, in which a run of digits means nothing.
_OURS = re.compile(r"[cpmw][0-9a-f]{30}|(?=[0-9a-f]*[a-f])[0-9a-f]{16}|[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}\+[0-9a-f]{12}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff]")

EventDict = MutableMapping[str, Any]


def redact(_logger: object, _name: str, event: EventDict) -> EventDict:
    """Keep only the listed keys; mask what looks like an identifier or a credential; no control characters."""
    dropped = [key for key in event if key not in ALLOWED]
    kept: EventDict = {key: _clean(value) for key, value in event.items() if key in ALLOWED}
    if dropped:
        kept["dropped_keys"] = len(dropped)
    return kept


def _clean(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < _LARGEST else "***"
    text = str(value)
    return text if _OURS.fullmatch(text) else _SUSPECT.sub("***", _CONTROL.sub("?", text))[:_LONGEST]


def _render(_logger: object, _name: str, event: EventDict) -> str:
    return orjson.dumps(event).decode()


def configure_logging(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Called once by the command line; a library or a test that does not call it keeps its own logging."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries log through the standard module; what they say may hold URLs or values, so only the fact is kept.
    logging.basicConfig(handlers=[_Foreign()], level=logging.WARNING, force=True)


class _Lines:
    """Each line in one write. One that cannot be written (a full disk behind standard error) is lost and fails no
    request: what must not be lost is in the evidence log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def info(self, line: str) -> None:
        with suppress(OSError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = warning = error = critical = info


class _Foreign(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        structlog.get_logger().warning("library_message", where=record.name, error_type=kind)


class Metrics:
    """The gateway's metrics, in a registry of their own so that several applications fit in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("xinqiao_requests", "HTTP requests", ["route", "status"], registry=self.registry)
        self.duration = Histogram(
            "xinqiao_request_seconds",
            "Time to answer",
            ["route"],
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
            registry=self.registry,
        )
        self.sources = Counter(
            "xinqiao_sources", "Outcomes of sources", ["platform", "dataset", "state"], registry=self.registry
        )
        self.spared = Counter(
            "xinqiao_calls_spared",
            "Answers that no call was made for: of an earlier profile, or of a call under way",
            ["platform", "dataset", "how"],
            registry=self.registry,
        )
        self.refusals = Counter("xinqiao_refusals", "Refused consents", ["code"], registry=self.registry)
        self.drift = Counter(
            "xinqiao_schema_drift", "Unknown fields seen in replies", ["platform", "dataset"], registry=self.registry
        )
        self.webhooks = Counter("xinqiao_webhooks", "Attempts to deliver", ["outcome"], registry=self.registry)
        self.callbacks = Counter(
            "xinqiao_callbacks",
            "What platforms sent by themselves, by what became of it",
            ["platform", "outcome"],
            registry=self.registry,
        )
        self.manifests = Counter(
            "xinqiao_manifests",
            "Changed manifests, by what became of them",
            ["platform", "outcome"],
            registry=self.registry,
        )
        self.manifest_refused = Gauge(
            "xinqiao_manifest_refused",
            "1 while a changed manifest does not hold and the last good one serves",
            ["platform"],
            registry=self.registry,
        )
        self.platform_off = Gauge(
            "xinqiao_platform_off",
            "1 while the operator has switched the platform off",
            ["platform"],
            registry=self.registry,
        )
        self.certificate_days = Gauge(
            "xinqiao_certificate_days", "Days until a certificate ends", ["certificate"], registry=self.registry
        )
        self.clock_offset = Gauge(
            "xinqiao_platform_clock_offset_seconds",
            "Seconds that a platform's clock is ahead of ours",
            ["platform"],
            registry=self.registry,
        )
        self.log_writable = Gauge(
            "xinqiao_log_writable", "1 while the evidence log takes entries", registry=self.registry
        )
        self.timestamps = Counter(
            "xinqiao_log_timestamps", "Time-stamps of the log's head asked for", ["outcome"], registry=self.registry
        )
        self.log_size = Gauge("xinqiao_log_entries", "Entries in the evidence log", registry=self.registry)


@contextmanager
def trying_again(event: str) -> Iterator[None]:
    """For work beside the requests that looks again by itself: whatever a failed storage, a full queue or one bad row
    does is a line of the log called ``event``, and the next look goes on."""
    try:
        yield
    except Exception as error:
        structlog.get_logger().warning(event, error_type=type(error).__name__)
