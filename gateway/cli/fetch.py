"""``xinqiao connectors fetch``: real calls to a test system on this machine, with what happened when."""

import asyncio
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
import typer

from connectors.base import Connector, Progress, Query, Subject
from connectors.engine.connector import DeclarativeConnector
from connectors.local import SCHEME
from connectors.manifest import FILE, load
from connectors.registry import BUILT_IN
from gateway.cli.shared import AsJson, print_json, say, settings, write
from gateway.profile.request import months_back
from gateway.services import Services, open_services
from gateway.settings import Settings
from schemas.errors import InvalidRequest, UpstreamError
from schemas.identifiers import parse_uscc
from schemas.records import CATALOGUE


def loaded(services: Services, connector: str) -> Connector:
    held = services.connectors.get(connector)
    if held is None:
        known = ", ".join(sorted(services.connectors)) or "none"
        raise InvalidRequest(at="connector", mend=f"give it what it needs in the settings; loaded are: {known}")
    return held


class _TimeLine:
    """Lets everything through, and remembers when what was sent and when an answer was there."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._started = self._now()
        self.events: list[dict[str, Any]] = []

    def add(self, what: str) -> None:
        self.events.append({"ms": int((self._now() - self._started) * 1000), "what": what})

    async def may_send(self) -> None:
        # Asked before a call and once more right before its first byte: the second is when it leaves.
        if self.events and self.events[-1]["what"] == "sent":
            self.events.pop()
        self.add("sent")

    async def may_keep(self) -> None:
        self.add("answered")


def fetch(
    connector: Annotated[str, typer.Argument(help="A folder, or the id of a connector that the settings load.")],
    uscc: Annotated[str, typer.Option(help="统一社会信用代码")],
    name: Annotated[str, typer.Option(help="企业名称, where the platform asks for it.")] = "-",
    dataset: Annotated[list[str] | None, typer.Option(help="Only these data sets.")] = None,
    months: Annotated[int, typer.Option(min=1, max=120, help="Look-back.")] = 12,
    as_json: AsJson = False,
) -> None:
    """试取 Real calls without a consent, with their time-line: only to an address of this machine."""
    held, chosen = with_folder(settings(), connector)

    async def work() -> list[dict[str, Any]]:
        async with open_services(held) as services:
            made = loaded(services, chosen)
            must_be_here(services.settings, made)
            subject = Subject(parse_uscc(uscc).value, name)
            first, last = months_back(services.now(), months)
            if unknown := set(dataset or ()) - made.datasets.keys():
                raise InvalidRequest(at="dataset", mend=f"no {min(unknown)} here; use {', '.join(made.datasets)}")
            return [
                await _one(made, subject, wanted, (first, last), services.settings.limits.deadline_seconds)
                for wanted in dataset or made.datasets
            ]

    found = asyncio.run(work())
    if as_json:
        print_json(found)
    else:
        for one in found:
            say(f"{one['dataset']}: {one['outcome']} ({one['attempts']} attempts, {one['calls']} calls)")
            for event in one["timeline"]:
                say(f"  {event['ms']:>6} ms  {event['what']}")
            for row in one["records"]:
                write(orjson.dumps(row).decode())
    if not all(one["outcome"] in ("found", "confirmed_absent") for one in found):
        raise typer.Exit(1)


def with_folder(held: Settings, connector: str) -> tuple[Settings, str]:
    """Settings that load the connector in a folder beside, or instead of, what they load; and its id."""
    folder = Path(connector)
    if not (folder / FILE).is_file():
        return held, connector
    chosen = load(folder).manifest.id
    given = {BUILT_IN, *(place.resolve() for place in held.connectors)}
    extra = [] if {folder.resolve(), folder.resolve().parent} & given else [folder]
    return held.model_copy(update={"connectors": [*held.connectors, *extra], "allow_connectors": [chosen]}), chosen


def must_be_here(held: Settings, made: Connector) -> None:
    """No call without a consent leaves this machine: InvalidRequest in production, and for any other address."""
    if held.production:
        raise InvalidRequest(at="production", mend="no call without a consent; use a test system")
    address = made.base_url if isinstance(made, DeclarativeConnector) else ""
    if address.startswith(SCHEME):
        return
    host = urlsplit(address).hostname or ""
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise InvalidRequest(
            at="base_url", mend="this address is not 127.0.0.1: ask it with `profile request`, under a consent"
        )


async def _one(
    made: Connector, subject: Subject, dataset: str, period: tuple[tuple[int, int], tuple[int, int]], seconds: float
) -> dict[str, Any]:
    progress, line = Progress(), _TimeLine()
    fields = frozenset(CATALOGUE[dataset].fields) & made.datasets[dataset]
    query = Query(subject, dataset, fields, *period)
    try:
        reply = await made.fetch(query, line, asyncio.get_running_loop().time() + seconds, progress)
    except UpstreamError as error:
        line.add(error.code)
        got: dict[str, Any] = {"outcome": error.code, "details": error.details, "records": []}
    else:
        line.add(reply.found.value)
        got = {"outcome": reply.found.value, "records": list(reply.records), "repairs": list(reply.repairs)}
    counts = {"attempts": progress.attempts, "calls": progress.calls, "timeline": line.events}
    return {"dataset": dataset, **got, **counts}
