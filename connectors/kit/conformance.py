"""The one suite for every connector: its fixtures, run through the real engine over a transport that only replays.

A connector's folder brings ``fixtures/*.json``, one exchange or more each, and the replies as raw bytes beside them
(docs/manifest.md, «Fixtures»). A new connector adds fixtures, not tests.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import orjson
from pydantic import Field, StringConstraints, ValidationError

from connectors.base import Found, Progress, Query, Subject
from connectors.engine.connector import DeclarativeConnector
from connectors.kit.result import Result
from connectors.manifest import Loaded, load
from connectors.ports import OpenGuard
from connectors.wire import Leave, WireReply, WireRequest
from schemas.base import Json, Model, Month, Name, ShortText, Time
from schemas.errors import ConfigurationError, UpstreamError, XinqiaoError
from schemas.records import CATALOGUE, DataSet

BASE_URL = "https://fixture.invalid"
# Long enough that no test machine is too slow, short enough that a connector that hangs is found.
_PATIENCE = 20.0


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


class _Exchange(Model):
    request: _Request
    reply: _Reply


class _Expect(Model):
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
    exchanges: Annotated[list[_Exchange], Field(min_length=1)]
    expect: _Expect


class _Unexpected(Exception):
    """A request that no exchange of the fixture is there for."""


class _Replay:
    def __init__(self, folder: Path, exchanges: list[_Exchange]) -> None:
        self._folder = folder
        self.left = list(exchanges)

    async def send(
        self,
        request: WireRequest,
        *,
        timeout: float,  # noqa: ASYNC109, ARG002
        leave: Leave,  # noqa: ARG002
    ) -> WireReply:
        why = "no exchange is left"
        for exchange in self.left:
            differences = list(_differences(exchange.request, request))
            if not differences:
                self.left.remove(exchange)
                reply = exchange.reply
                body = (self._folder / reply.file).read_bytes()
                return WireReply(reply.status, {"content-type": reply.content_type, **reply.headers}, body)
            why = differences[0] if why == "no exchange is left" else why
        raise _Unexpected(why)


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


def check(folder: Path, catalogue: Mapping[str, DataSet] = CATALOGUE) -> list[Result]:
    """Every fixture of the connector in ``folder``, and whether each data set has the three that it must have."""
    try:
        loaded = load(folder, catalogue)
    except XinqiaoError as err:
        return [Result("manifest.toml", False, str(err))]
    return [Result("manifest.toml", True), *asyncio.run(_run(loaded, catalogue))]


async def _run(loaded: Loaded, catalogue: Mapping[str, DataSet]) -> list[Result]:
    folder = loaded.fixtures
    secrets = _secrets(loaded, folder)
    results: list[Result] = []
    covered: set[tuple[str, str]] = set()
    for file in sorted(folder.glob("*.json")):
        if file.name == "secrets.json" or file.name.endswith(".reply.json"):
            continue
        name = f"fixtures/{file.name}"
        try:
            fixture = Fixture.model_validate_json(file.read_bytes())
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            results.append(Result(name, False, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"))
            continue
        why = await _play(loaded, folder, fixture, secrets, catalogue)
        results.append(Result(name, not why, why))
        covered.add((fixture.dataset, fixture.expect.outcome))
    for dataset in loaded.plans:
        for outcome in ("found", "confirmed_absent", "failure"):
            if (dataset, outcome) not in covered:
                results.append(Result(f"{dataset}: {outcome}", False, "there is no fixture for this outcome"))
    return results


def _secrets(loaded: Loaded, folder: Path) -> dict[str, str]:
    """Invented ones: ``fixtures/secrets.json`` where a key must have a form, any text elsewhere."""
    file = folder / "secrets.json"
    given = orjson.loads(file.read_bytes()) if file.exists() else {}
    return {name: given.get(name, f"invented-{name}") for name in loaded.manifest.auth.secrets}


async def _play(
    loaded: Loaded, folder: Path, fixture: Fixture, secrets: Mapping[str, str], catalogue: Mapping[str, DataSet]
) -> str:
    """Empty when all is as expected, else what is not."""
    if fixture.dataset not in loaded.plans:
        return "the manifest has no such data set"
    for exchange in fixture.exchanges:
        if not (folder / exchange.reply.file).is_file():
            return f"there is no file {exchange.reply.file}"
    replay = _Replay(folder, fixture.exchanges)
    query = Query(
        subject=Subject(fixture.subject.uscc, fixture.subject.name, fixture.subject.registration_number),
        dataset=fixture.dataset,
        fields=frozenset(loaded.plans[fixture.dataset].specs),
        first=_month(fixture.period[0]),
        last=_month(fixture.period[1]),
    )
    now = datetime.fromisoformat(fixture.now).timestamp()
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    try:
        connector = DeclarativeConnector(
            _patient(loaded), replay, secrets, base_url=BASE_URL, clock=lambda: now, nonce=lambda: "0123456789abcdef"
        )
        reply = await connector.fetch(query, OpenGuard(), deadline, Progress())
    except UpstreamError as err:
        return _compare("failure", err.code, fixture.expect) or _unused(replay)
    except ConfigurationError as err:
        return str(err)
    except _Unexpected as err:
        return f"unexpected request: {err}"
    expect = fixture.expect
    if why := _compare(_OUTCOMES[reply.found], None, expect):
        return why
    for number, record in enumerate(reply.records):
        try:
            catalogue[fixture.dataset].model.model_validate_json(orjson.dumps(record))
        except ValidationError as err:
            return f"record {number}: {'.'.join(map(str, err.errors()[0]['loc']))} is not canonical"
    if why := _first_difference(list(reply.records), expect.records):
        return why
    as_of = reply.as_of.isoformat() if reply.as_of else None
    for what, got, wanted in (
        ("as_of", as_of, expect.as_of),
        ("repairs", list(reply.repairs), expect.repairs),
        ("drift", dict(reply.drift), expect.drift),
    ):
        if got != wanted:
            return f"{what} is {got}, {wanted} expected"
    return _unused(replay)


_OUTCOMES = {Found.FOUND: "found", Found.ABSENT: "confirmed_absent", Found.PARTIAL: "partial"}


def _compare(outcome: str, code: str | None, expect: _Expect) -> str:
    if (outcome, code) == (expect.outcome, expect.code):
        return ""
    got = outcome if code is None else f"{outcome} {code}"
    return f"{got} came, {expect.outcome} {expect.code or ''} expected".replace("  ", " ")


def _first_difference(got: list[dict[str, Json]], wanted: list[dict[str, Any]]) -> str:
    if len(got) != len(wanted):
        return f"{len(got)} records came, {len(wanted)} expected"
    for number, (mine, theirs) in enumerate(zip(got, wanted, strict=True)):
        for key in sorted(mine.keys() | theirs.keys()):
            if mine.get(key) != theirs.get(key):
                return f"record {number}: {key} differs"
    return ""


def _unused(replay: _Replay) -> str:
    return f"{len(replay.left)} exchanges were not asked for" if replay.left else ""


def _patient(loaded: Loaded) -> Loaded:
    """One attempt and no waiting: a fixture shows what one reply means."""
    limits = loaded.manifest.limits.model_copy(update={"attempts": 1, "rate": "100000/s", "maintenance": []})
    return replace(loaded, manifest=loaded.manifest.model_copy(update={"limits": limits}), windows=())


def _month(text: str) -> tuple[int, int]:
    return int(text[:4]), int(text[5:])
