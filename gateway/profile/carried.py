"""All that a profile was made of, so that another process can make its next revision when a late answer comes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

import orjson

from connectors.base import Found, Reply, Subject, Try
from consent.log.origins import Origin
from gateway.profile.assemble import Request
from gateway.profile.collect import Gathered
from gateway.profile.plan import Item, Plan
from schemas.errors import ConnectorFault, UpstreamError, UpstreamPending
from schemas.profile import State


@dataclass(frozen=True, slots=True)
class Carried:
    """``gathered`` has what every source gave, those that are still pending among them."""

    request: Request
    plan: Plan
    gathered: tuple[Gathered, ...]

    @property
    def pending(self) -> tuple[Item, ...]:
        return tuple(one.item for one in self.gathered if isinstance(one.error, UpstreamPending))

    @property
    def due(self) -> str:
        """When the first of what is pending is to be asked again."""
        waiting = [one.error for one in self.gathered if isinstance(one.error, UpstreamPending)]
        return min(str(error.details["next_attempt_at"]) for error in waiting)


def packed(carried: Carried) -> bytes:
    plan = carried.plan
    return orjson.dumps(
        {
            "request": asdict(carried.request),
            "plan": {"asked": plan.asked, "absent": plan.absent, "first": plan.first, "last": plan.last},
            "items": [_item(item) for item in plan.items],
            "gathered": [_gathered(one) for one in carried.gathered],
        },
        default=_plain,
    )


def unpacked(data: bytes) -> Carried:
    held = orjson.loads(data)
    request, plan = held["request"], held["plan"]
    require = request["require"]
    request |= {
        "subject": Subject(**request["subject"]),
        "requested_at": datetime.fromisoformat(request["requested_at"]),
        "require": None if require is None else frozenset(require),
    }
    absent = {name: (State(state), reason) for name, (state, reason) in plan["absent"].items()}
    items = tuple(_item_of(one) for one in held["items"])
    first, last = ((months[0], months[1]) for months in (plan["first"], plan["last"]))
    return Carried(
        Request(**request),
        Plan(items, frozenset(plan["asked"]), absent, first, last),
        tuple(_gathered_of(one) for one in held["gathered"]),
    )


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _item(item: Item) -> dict[str, Any]:
    return asdict(item)


def _item_of(held: dict[str, Any]) -> Item:
    return Item(**held | {"fields": frozenset(held["fields"]), "withheld": frozenset(held["withheld"])})


def _gathered(one: Gathered) -> dict[str, Any]:
    reply, error = one.reply, one.error
    return {
        "item": _item(one.item),
        "connector_version": one.connector_version,
        "assurance": one.assurance,
        "reply": None if reply is None else {name: getattr(reply, name) for name in Reply.__slots__},
        "error": None if error is None else [error.code, error.details],
        "latency_ms": one.latency_ms,
        "attempts": one.attempts,
        "origin": None if one.origin is None else list(one.origin),
        "tries": [[int(at * 1000), what, outcome, times] for at, what, outcome, times in one.tries],
    }


def _gathered_of(held: dict[str, Any]) -> Gathered:
    reply, error = held["reply"], held["error"]
    return Gathered(
        **held
        | {
            "item": _item_of(held["item"]),
            "origin": None if held["origin"] is None else Origin(*held["origin"]),
            "tries": tuple(Try(at / 1000, what, outcome, times) for at, what, outcome, times in held["tries"]),
            "reply": None if reply is None else _reply_of(reply),
            "error": None if error is None else _errors().get(error[0], ConnectorFault)(**error[1]),
        }
    )


def _reply_of(held: dict[str, Any]) -> Reply:
    changed = {
        "found": Found(held["found"]),
        "records": tuple(held["records"]),
        "as_of": None if held["as_of"] is None else date.fromisoformat(held["as_of"]),
        "fetched_at": datetime.fromisoformat(held["fetched_at"]),
        "raw_digest": bytes.fromhex(held["raw_digest"]),
        "repairs": tuple(held["repairs"]),
    }
    return Reply(**held | changed)


@cache
def _errors() -> Mapping[str, type[UpstreamError]]:
    return {kind.code: kind for kind in _below(UpstreamError.__subclasses__())}


def _below(kinds: Sequence[type[UpstreamError]]) -> Iterator[type[UpstreamError]]:
    for kind in kinds:
        yield kind
        yield from _below(kind.__subclasses__())
