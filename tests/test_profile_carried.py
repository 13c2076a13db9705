"""gateway.profile.carried: what is remembered of a profile comes back as it was."""

from dataclasses import replace
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import pytest

from connectors.base import Found, Reply, Subject, Try
from consent.log.origins import Origin
from gateway.profile.assemble import Request
from gateway.profile.carried import Carried, packed, unpacked
from gateway.profile.collect import Gathered
from gateway.profile.plan import Item, Plan
from schemas.errors import UpstreamBusy, UpstreamPending
from schemas.profile import State
from tests.profiles import NAME, USCC

WHEN = datetime(2026, 11, 24, 6, 0, 1, 234000, tzinfo=UTC)


def test_everything_comes_back() -> None:
    item = Item("x", "provident_fund", frozenset({"month"}), frozenset({"base"}), "outlet", True, True)
    reply = Reply(
        Found.PARTIAL, ({"month": "2026-10"},), date(2026, 10, 31), WHEN, 3, b"\x00\xff", False, ("a",), {"b": 2}
    )
    first = Gathered(item, "1+a", "assumed", reply, None, 12, 3, (Try(1795500000.5, "ask", "answered"),))
    used = replace(first, origin=Origin("reused", "m1", 7, "ab" * 32))
    waiting = UpstreamPending(next_attempt_at="2026-11-24T07:00:00.000+00:00")
    carried = Carried(
        Request(
            "p1", 2, Subject(USCC, NAME), "c1", "signed", "loan", WHEN, {"judicial_cases": 0}, 30, frozenset({"a"})
        ),
        Plan((item,), frozenset({"provident_fund"}), {"tax": (State.OUT_OF_SCOPE, "x")}, (2025, 12), (2026, 11)),
        (
            first,
            replace(first, reply=None, error=waiting),
            replace(first, reply=None, error=UpstreamBusy(status=429)),
            used,
        ),
    )
    again = unpacked(packed(carried))
    assert again.request == carried.request
    assert again.plan == carried.plan
    assert (again.gathered[0], again.gathered[3]) == (first, used)
    assert [(type(g.error), g.error and g.error.details) for g in again.gathered] == [
        (type(g.error), g.error and g.error.details) for g in carried.gathered
    ]
    assert again.pending == (item,)
    assert again.due == "2026-11-24T07:00:00.000+00:00"


def test_what_nobody_knows_how_to_remember_is_not_left_out_in_silence() -> None:
    item = Item("x", "provident_fund", frozenset({"month"}))
    strange: Any = {"month": object()}
    reply = Reply(Found.FOUND, ({"month": "2026-10"},), None, WHEN, 1, b"\x00", None, drift=MappingProxyType({"b": 2}))
    one = Gathered(item, "1+a", "assumed", reply, None, 12, 1, ())
    request = Request("p1", 1, Subject(USCC, NAME), "c1", "signed", "loan", WHEN, {}, 30, None)
    carried = Carried(request, Plan((item,), frozenset({"provident_fund"}), {}, (2025, 12), (2026, 11)), (one,))
    (again,) = unpacked(packed(carried)).gathered
    assert again.reply == replace(reply, drift={"b": 2})
    with pytest.raises(TypeError):
        packed(replace(carried, gathered=(replace(one, reply=replace(reply, records=(strange,))),)))
