"""Whether a connector's answer is what it must be.

The declarative engine makes canonical records by construction. A connector with code of its own may not: then its
answer is a defect of that connector, not of the request, and nothing of it gets into a profile.
"""

from collections.abc import Mapping
from datetime import date, datetime

import orjson
from pydantic import ValidationError

from connectors.base import Found, Reply
from gateway.profile.plan import Item
from schemas.records import CATALOGUE, Record

_LONGEST = 200
MOST = 10_000
"""Records of one answer. More would keep every other request of the process waiting while they are looked at."""


def sound(reply: Reply, item: Item) -> bool:
    """Whether every part has its form, no record holds a field that was not asked for, and «absent» has no records."""
    return (
        _envelope(reply)
        and not (reply.found is Found.ABSENT and reply.records)
        and all(_record(record, item.fields, CATALOGUE[item.dataset].model) for record in reply.records)
    )


def _envelope(reply: Reply) -> bool:
    return (
        isinstance(reply.found, Found)
        and isinstance(reply.records, tuple)
        and len(reply.records) <= MOST
        and (reply.as_of is None or type(reply.as_of) is date)
        and isinstance(reply.fetched_at, datetime)
        and reply.fetched_at.tzinfo is not None
        and type(reply.attempts) is int
        and reply.attempts >= 0
        and type(reply.raw_digest) is bytes
        and isinstance(reply.repairs, tuple)
        and all(isinstance(text, str) and 0 < len(text) <= _LONGEST for text in reply.repairs)
        and isinstance(reply.drift, Mapping)
        and all(type(count) is int for count in reply.drift.values())
    )


def _record(record: object, fields: frozenset[str], model: type[Record]) -> bool:
    if not isinstance(record, dict) or not record.keys() <= fields:
        return False
    try:
        model.model_validate_json(orjson.dumps(record))
    except ValidationError as error:
        # A required field may be absent: the consent need not cover it.
        return all(fault["type"] == "missing" for fault in error.errors(include_input=False, include_url=False))
    except TypeError:
        return False
    return True
