"""A connector's fixtures: what was asked, what came, and what must come of it (docs/manifest.md, «Fixtures»)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import orjson
from pydantic import Field, StringConstraints, ValidationError

from connectors.base import Query, Subject
from connectors.engine.call import Transport
from connectors.engine.connector import DeclarativeConnector
from connectors.manifest import Loaded
from connectors.ports import StateStore
from connectors.wire import Leave, WireReply, WireRequest
from schemas.base import Model, Month, Name, ShortText, Time

BASE_URL = "https://fixture.invalid"


class _Enterprise(Model):
    uscc: ShortText
    name: ShortText
    registration_number: ShortText | None = None


class _Request(Model):
    """What must have been sent; members not named here are not looked at."""

    method: Literal["GET", "POST"]
    path: ShortText
    query: dict[str, str] = Field(default_factory=dict)
    json_: Annotated[dict[str, Any], Field(alias="json", default_factory=dict)]
    form: dict[str, str] = Field(default_factory=dict)
    text: list[str] = Field(default_factory=list)


class _Reply(Model):
    status: int = 200
    content_type: ShortText = "application/json"
    headers: dict[str, str] = Field(default_factory=dict)
    file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Exchange(Model):
    request: _Request
    reply: _Reply


class _Callback(Model):
    """What the platform sends by itself once the exchanges are over."""

    content_type: ShortText = "application/json"
    file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

    def read(self, folder: Path) -> WireReply:
        """As if it were a reply."""
        return WireReply(200, {"content-type": self.content_type}, (folder / self.file).read_bytes())


class Expect(Model):
    """``code`` is schemas.errors' code of a failure; the others describe an answer."""

    outcome: Literal["found", "confirmed_absent", "partial", "failure"]
    code: Name | None = None
    records: list[dict[str, Any]] = Field(default_factory=list)
    as_of: ShortText | None = None
    repairs: list[str] = Field(default_factory=list)
    drift: dict[str, int] = Field(default_factory=dict)


class Fixture(Model):
    dataset: Name
    subject: _Enterprise
    period: Annotated[list[Month], Field(min_length=2, max_length=2)]
    now: Time
    exchanges: Annotated[list[Exchange], Field(min_length=1)]
    callback: _Callback | None = None
    expect: Expect

    @property
    def files(self) -> list[str]:
        """Those that hold what came."""
        return [e.reply.file for e in self.exchanges] + ([self.callback.file] if self.callback else [])


class Unexpected(Exception):
    """A request that no exchange of the fixture is there for."""


class Replay:
    """A transport that answers from the fixture's files, each exchange once."""

    def __init__(self, folder: Path, exchanges: list[Exchange]) -> None:
        self._folder = folder
        self.left = list(exchanges)

    async def send(
        self,
        request: WireRequest,
        *,
        timeout: float,  # noqa: ASYNC109, ARG002
        leave: Leave,  # noqa: ARG002
    ) -> WireReply:
        return self.reply_to(request)

    def reply_to(self, request: WireRequest) -> WireReply:
        """Raises Unexpected where no exchange that is left asks for this."""
        why = "no exchange is left"
        for exchange in self.left:
            differences = list(_differences(exchange.request, request))
            if not differences:
                self.left.remove(exchange)
                reply = exchange.reply
                body = (self._folder / reply.file).read_bytes()
                return WireReply(reply.status, {"content-type": reply.content_type, **reply.headers}, body)
            why = differences[0] if why == "no exchange is left" else why
        raise Unexpected(why)


def _differences(expected: _Request, request: WireRequest) -> Iterator[str]:
    url = urlsplit(request.url)
    if (request.method, url.path) != (expected.method, expected.path):
        yield f"{request.method} {url.path} was sent, {expected.method} {expected.path} expected"
        return
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    yield from _missing("query", expected.query, query)
    if expected.json_:
        yield from _missing("json", expected.json_, orjson.loads(request.body))
    if expected.form:
        yield from _missing("form", expected.form, dict(parse_qsl(request.body.decode(), keep_blank_values=True)))
    if expected.text:
        charset = re.search(r"charset=([\w-]+)", request.headers.get("Content-Type", ""))
        body = request.body.decode(charset[1] if charset else "utf-8")
        yield from (f"the body lacks {text!r}" for text in expected.text if text not in body)


def _missing(where: str, expected: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    for key, value in expected.items():
        if key not in sent:
            yield f"{where}.{key} was not sent"
        elif sent[key] != value:
            yield f"{where}.{key} has another value than expected"


def cases(folder: Path) -> Iterator[tuple[str, Fixture | str]]:
    """The name of every case with what it says, or with why it says nothing."""
    for file in sorted(folder.glob("*.json")):
        if file.name == "secrets.json" or file.name.endswith(".reply.json"):
            continue
        try:
            yield f"fixtures/{file.name}", Fixture.model_validate_json(file.read_bytes())
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            yield f"fixtures/{file.name}", f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def secrets_of(loaded: Loaded) -> dict[str, str]:
    """Invented ones: ``fixtures/secrets.json`` where a key must have a form, any text elsewhere."""
    file = loaded.fixtures / "secrets.json"
    given = orjson.loads(file.read_bytes()) if file.exists() else {}
    return {name: given.get(name, f"invented-{name}") for name in loaded.manifest.auth.secrets}


def query_of(loaded: Loaded, fixture: Fixture) -> Query:
    return Query(
        subject=Subject(fixture.subject.uscc, fixture.subject.name, fixture.subject.registration_number),
        dataset=fixture.dataset,
        fields=frozenset(loaded.plans[fixture.dataset].specs),
        first=_month(fixture.period[0]),
        last=_month(fixture.period[1]),
    )


def connector_of(
    loaded: Loaded,
    transport: Transport,
    fixture: Fixture,
    *,
    base_url: str = BASE_URL,
    timeout: str | None = None,
    state: StateStore | None = None,
) -> DeclarativeConnector:
    """The connector at the fixture's time, with invented secrets: one attempt and no waiting, because a fixture shows
    what one reply means. ``timeout`` in the manifest's form. Raises ConfigurationError."""
    now = datetime.fromisoformat(fixture.now).timestamp()
    limits = loaded.manifest.limits
    limits = limits.model_copy(
        update={"attempts": 1, "rate": "100000/s", "maintenance": [], "timeout": timeout or limits.timeout}
    )
    patient = replace(loaded, manifest=loaded.manifest.model_copy(update={"limits": limits}))
    return DeclarativeConnector(
        patient,
        transport,
        secrets_of(loaded),
        base_url=base_url,
        clock=lambda: now,
        nonce=lambda: "0123456789abcdef",
        state=state,
        callback_url=f"{BASE_URL}/callbacks",
    )


def _month(text: str) -> tuple[int, int]:
    return int(text[:4]), int(text[5:])
