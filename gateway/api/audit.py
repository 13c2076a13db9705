"""The log for auditors: look for entries, take them away, see one whole.

Conditions that name an enterprise or an officer come in a body: neither a credit code nor a staff reference may stand
in an address that proxies write down.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import orjson
from aiohttp import web
from pydantic import Field, ValidationError

from consent.ledger import read_head
from consent.profiles import access_refused
from consent.search import Conditions
from gateway.api.routing import LENDER, Route, answer, parse_body, query_int
from gateway.audit.anomalies import Finding
from gateway.audit.looking import EXPORTED, REPORTED, Page, Search, look, report, take, unmask
from gateway.audit.masks import masked, short
from gateway.audit.tables import Form
from gateway.services import SERVICES, Services
from gateway.settings import Role
from schemas.base import Count, Id, Json, Model, Name, ShortText, StaffReference, Text, Time, Uscc, first_flaw, utc_text
from schemas.consent import Enterprise
from schemas.errors import Forbidden, InvalidRequest, NotFound

LIMIT = 100
_ZIP = "application/zip"
_UNMASK = "POST /v1/log/unmask"
_CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")


class LogSearch(Model):
    """What entries must meet, all of it; without anything every entry does."""

    enterprise: Annotated[Uscc | None, Field(description="unified social credit code 统一社会信用代码")] = None
    consent: Id | None = None
    actor: Annotated[Name | None, Field(description="who acted: a lender, operator or auditor by its name")] = None
    officer: Annotated[
        StaffReference | None, Field(description="who of the lender asked; `actor` says of which lender")
    ] = None
    event: Annotated[Id | None, Field(description="e.g. permit.refused")] = None
    outcome: Annotated[Id | None, Field(description="the code in the entry, e.g. consent_revoked")] = None
    platform: Name | None = None
    since: Time | None = None
    until: Annotated[Time | None, Field(description="the end, not part of it")] = None
    first: Annotated[Count | None, Field(description="lowest index")] = None
    last: Annotated[Count | None, Field(description="highest index")] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = LIMIT
    cursor: Annotated[ShortText | None, Field(description="`next` of the page before")] = None
    format: Annotated[
        Form | None, Field(description=f"a file with proofs of at most {EXPORTED} entries, instead of a page")
    ] = None


class MaskedEntry(Model):
    index: Count
    entry: dict[str, Json]


class LogPage(Model):
    entries: list[MaskedEntry]
    next: str | None = Field(description="Where the search goes on; a page may be short or empty before the end.")
    unreadable: Count = Field(description="Entries that may or may not name the platform: what would say so is gone.")


class Unmask(Model):
    index: Count
    reason: Annotated[ShortText, Field(description="why; kept sealed, and committed to in the log")]


class WholeEntry(Model):
    index: Count
    entry: dict[str, Json]
    enterprise: Enterprise | None = Field(description="None where no consent of it can be opened.")


class Message(Model):
    zh: Text
    en: Text


class Anomaly(Model):
    """Something that deserves a second look; it says nothing of guilt."""

    rule: Name
    actor: Name
    officer: ShortText | None = Field(
        description="The officer's pseudonym, shortened; None speaks of the whole client."
    )
    count: Count
    indexes: list[Count] = Field(description="The first entries that it rests on.")
    message: Message


class AnomalyReport(Model):
    findings: list[Anomaly]


def searching(services: Services, asked: LogSearch, size: int | None = None) -> Search:
    """``size`` is the log's; None: as this process last found it. Raises InvalidRequest for a cursor that does not
    belong to these conditions, and for an officer of nobody."""
    if asked.officer is not None and asked.actor is None:
        raise InvalidRequest(at="actor", mend="the lender whose officer it is")
    size = services.evidence.size if size is None else size
    start, stop = asked.first or 0, size if asked.last is None else min(size, asked.last + 1)
    if asked.cursor is not None:
        match = _CURSOR.fullmatch(asked.cursor)
        if match is None or not start <= int(match[1]) <= int(match[2]) <= stop:
            raise InvalidRequest(at="cursor", mend="`next` of the page before, with the same conditions")
        start, stop = int(match[1]), int(match[2])
    conditions = Conditions(
        subject=None if asked.enterprise is None else services.evidence.pseudonym(asked.enterprise),
        consent=asked.consent,
        actor=asked.actor,
        officer=(
            None
            if asked.officer is None or asked.actor is None
            else services.evidence.officer(asked.actor, asked.officer)
        ),
        event=asked.event,
        outcome=asked.outcome,
        platform=asked.platform,
        since=_moment(asked.since),
        until=_moment(asked.until),
    )
    return Search(conditions, min(start, stop), stop)


def _moment(text: str | None) -> str | None:
    return None if text is None else utc_text(datetime.fromisoformat(text))


async def _found(request: web.Request, asked: LogSearch) -> web.Response:
    services, auditor = request.app[SERVICES], request[LENDER]
    # Other processes append too: what they did a moment ago is found.
    search = searching(services, asked, (await services.evidence.read(read_head)).size)
    if asked.format is None:
        return answer(_page(search, await look(services, auditor, search, asked.limit)))
    body = await take(services, auditor, search, asked.format, mask=True)
    headers = {"Content-Disposition": 'attachment; filename="entries.zip"'}
    return web.Response(body=body, content_type=_ZIP, headers=headers)


def _page(search: Search, page: Page) -> dict[str, Any]:
    read = [{"index": one.index, "entry": masked(orjson.loads(one.entry))} for one in page.entries]
    after = None if page.next is None else f"{page.next}-{search.stop}"
    return {"entries": read, "next": after, "unreadable": page.unreadable}


def asked_for(conditions: Mapping[str, Any]) -> LogSearch:
    """Raises InvalidRequest."""
    try:
        return LogSearch.model_validate(conditions)
    except ValidationError as err:
        at, mend = first_flaw(err)
        raise InvalidRequest(at=at, mend=mend) from None


async def entries(request: web.Request) -> web.Response:
    query = request.query
    numbers = {name: query_int(query, name) for name in ("first", "last", "limit") if name in query}
    return await _found(request, asked_for({**query, **numbers}))


async def search(request: web.Request) -> web.Response:
    return await _found(request, await parse_body(request, LogSearch))


async def anomalies(request: web.Request) -> web.Response:
    last = query_int(request.query, "last", 10_000)
    if not 0 < last <= REPORTED:
        raise InvalidRequest(at="last", mend=f"1 to {REPORTED}")
    found = await report(request.app[SERVICES], request[LENDER], last)
    return answer({"findings": [shown(one) for one in found]})


def shown(finding: Finding) -> dict[str, Json]:
    return {
        "rule": finding.rule,
        "actor": finding.actor,
        "officer": None if finding.officer is None else short(finding.officer),
        "count": finding.count,
        "indexes": [*finding.indexes],
        "message": {"zh": finding.zh, "en": finding.en},
    }


async def whole(request: web.Request) -> web.Response:
    services, auditor = request.app[SERVICES], request[LENDER]
    if not services.settings.auditors[auditor].unmask:
        await services.evidence.submit(access_refused(auditor, Forbidden.code, _UNMASK, None))
        raise Forbidden(at="unmask", mend="the operator's settings let this auditor see masked entries only")
    asked = await parse_body(request, Unmask)
    try:
        seen = await unmask(services, auditor, asked.index, asked.reason)
    except NotFound:
        await services.evidence.submit(access_refused(auditor, NotFound.code, _UNMASK, None))
        raise
    return answer(WholeEntry(index=seen.index, entry=dict(seen.entry), enterprise=seen.enterprise))


_TAG = "log"
AUDITORS: tuple[Role, ...] = ("auditor",)
_PRIVATE = ("enterprise", "officer")
_QUERY = {name: field.description or name for name, field in LogSearch.model_fields.items() if name not in _PRIVATE}
ROUTES = [
    Route(
        "GET",
        "/v1/log/entries",
        entries,
        "Entries, masked 检索日志",
        _TAG,
        {200: LogPage},
        also=(_ZIP,),
        query=_QUERY,
        roles=AUDITORS,
        errors=(503,),
    ),
    Route(
        "POST",
        "/v1/log/search",
        search,
        "The same, also by enterprise and officer 按企业、经办人检索日志",
        _TAG,
        {200: LogPage},
        LogSearch,
        also=(_ZIP,),
        roles=AUDITORS,
        errors=(503,),
    ),
    Route(
        "GET",
        "/v1/log/anomalies",
        anomalies,
        "What deserves a second look 异常报告",
        _TAG,
        {200: AnomalyReport},
        query={"last": f"how many of the newest entries are looked at; 10000 when not given, at most {REPORTED}"},
        roles=("auditor", "operator"),
        errors=(503,),
    ),
    Route(
        "POST",
        "/v1/log/unmask",
        whole,
        "One entry whole, with a reason 查看完整条目",
        _TAG,
        {200: WholeEntry},
        Unmask,
        roles=AUDITORS,
        errors=(404, 503),
    ),
]
