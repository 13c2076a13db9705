"""``/_sandbox/…``: what people and tests ask about the sandbox itself. No platform has such a door."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from connectors.sandbox.credentials import Secrets
from connectors.sandbox.identity import CAPACITY, number_of
from connectors.sandbox.population import Enterprise
from connectors.sandbox.scenarios import SCENARIOS, Scenario
from connectors.sandbox.series import month_of
from connectors.sandbox.verify import Refused
from connectors.sandbox.views import PLATFORM_OF, declared, holders, labels, truth, view
from connectors.sandbox.wire import dump, month_index
from connectors.sandbox.world import World

Counts = Mapping[str, Counter[str]]

_RULES_OF = {
    "sh-registry": {"identity", "headcount", "revenue", "unit", "freshness"},
    "sh-hrss": {"headcount", "freshness"},
    "sh-hpf": {"headcount", "freshness"},
    "sh-housing": {"property", "unit", "freshness"},
    "sh-tax": {"headcount", "revenue", "unit", "freshness"},
    "sh-court": {"judicial", "freshness"},
    "credit-sh": {"judicial", "freshness"},
    "ccrc-receivables": {"receivable", "freshness"},
    "yunlian": {"receivable", "freshness"},
    "core-enterprise": {"receivable", "revenue", "freshness"},
}
"""Rules that read a platform: with it in trouble, their outcome is not part of a scenario's promise."""

_MOST = 5000


def states(world: World, n: int) -> dict[str, str]:
    """The state that each data set's section must have for this enterprise over the last 24 months."""
    e = world.enterprise(n)
    found: dict[str, str] = {}
    for dataset in PLATFORM_OF:
        of_each = {_state(world, e, dataset, platform) for platform in holders(dataset)}
        found[dataset] = next(state for state in ("present", "empty_confirmed", "unavailable") if state in of_each)
    return found


def _state(world: World, e: Enterprise, dataset: str, platform: str) -> str:
    trouble = world.trouble(platform, e.uscc)
    if trouble:
        return "empty_confirmed" if trouble == "empty" else "unavailable"
    now = month_of(e.today)
    return "present" if view(e, dataset, now - 23, now, platform) else "empty_confirmed"


def findings(world: World, n: int, scenario: Scenario) -> dict[str, str]:
    """Rule -> outcome, for the rules whose outcome the scenario fixes."""
    label = labels(world.enterprise(n))
    expected: dict[str, str] = label["expected"]
    unsettled = {r for p, rules in _RULES_OF.items() if scenario.trouble(p) for r in rules}
    return expected | {r: "consistent" for r in label["clean"] if r not in unsettled}


def _json(value: object) -> web.Response:
    return web.Response(body=dump(value), content_type="application/json", charset="utf-8")


def _integer(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > most:
        raise web.HTTPBadRequest(text=f"{name}: a whole number, at most {most}")
    return int(text)


class Admin:
    def __init__(self, world: World, secrets: Secrets, counts: Counts) -> None:
        self._world = world
        self._secrets = secrets
        self._counts = counts

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sandbox/requests", self.requests),
            web.post("/_sandbox/reset", self.reset),
            web.get("/_sandbox/credentials", self.credentials),
            web.get("/_sandbox/scenarios", self.scenarios),
            web.get("/_sandbox/enterprises", self.enterprises),
            web.get("/_sandbox/truth/{uscc}", self.truth),
        ]

    async def requests(self, _: web.Request) -> web.Response:
        """Calls that reached each platform, by verdict."""
        return _json({platform: {"total": c.total(), **c} for platform, c in self._counts.items()})

    async def reset(self, _: web.Request) -> web.Response:
        """Forget the counts; nonces and tokens stay."""
        for count in self._counts.values():
            count.clear()
        return web.Response(status=204)

    async def credentials(self, _: web.Request) -> web.Response:
        return _json(self._secrets)

    async def scenarios(self, _: web.Request) -> web.Response:
        return _json([self._scenario(n, scenario) for n, scenario in enumerate(SCENARIOS)])

    def _scenario(self, n: int, scenario: Scenario) -> dict[str, Any]:
        return {
            **self._enterprise(n),
            "scenario": scenario.name,
            "zh": scenario.zh,
            "en": scenario.en,
            "states": states(self._world, n),
            "findings": findings(self._world, n, scenario),
            "troubles": dict(scenario.troubles),
        }

    def _enterprise(self, n: int) -> dict[str, Any]:
        e = self._world.enterprise(n)
        return {"n": n, "uscc": e.uscc, "name": e.asked_name, "declared": declared(e), "labels": labels(e)}

    async def enterprises(self, request: web.Request) -> web.Response:
        """``start`` (0), ``count`` (100, at most 5000): what a lender would ask with, and the labels."""
        start = _integer(request, "start", 0, CAPACITY - _MOST)
        count = _integer(request, "count", 100, _MOST)
        return _json([self._enterprise(n) for n in range(start, start + count)])

    async def truth(self, request: web.Request) -> web.Response:
        """``first``, ``last`` (yyyy-MM; the last 24 months): all data sets in canonical form, and the states."""
        n = number_of(request.match_info["uscc"])
        if n is None:
            raise web.HTTPNotFound(text="no such enterprise")
        e = self._world.enterprise(n)
        try:
            months = {k: month_index(request.query[k]) for k in ("first", "last") if k in request.query}
        except Refused:
            raise web.HTTPBadRequest(text="first, last: yyyy-MM") from None
        if months.get("last", 0) > month_of(e.today) + 12:
            raise web.HTTPBadRequest(text="last: at most a year ahead")
        return _json({**truth(e, **months), "states": states(self._world, n)})
