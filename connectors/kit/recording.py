"""``connectors record``: from real exchanges with a platform to a fixture that says nothing of anybody.

    tape = Tape(transport)            # or Saved(replies)
    ... a fetch over it ...
    recording = await record(loaded, wanted, tape.taken, ...)

Only replies are taken from what happened, and only scrubbed. Everything else in the fixture, what is asked and what
comes of it, is made anew: by the engine, over the scrubbed replies, for an invented enterprise, with invented secrets.
"""

import asyncio
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from connectors.base import Progress, Subject
from connectors.engine.call import Transport
from connectors.kit.conformance import OUTCOMES, PATIENCE, play
from connectors.kit.fixtures import Fixture, connector_of, query_of
from connectors.kit.inventing import MARKS, Inventor
from connectors.kit.roles import Terms, terms_of
from connectors.kit.scrubbing import Notes, scrubbed
from connectors.kit.searching import leak
from connectors.manifest import Loaded
from connectors.ports import OpenGuard
from connectors.registry import Secures
from connectors.tls import Tls
from connectors.wire import Leave, WireReply, WireRequest
from schemas.base import Json
from schemas.errors import InvalidRequest, UpstreamError
from schemas.manifest import Dataset, Request

_SEEDS = 12


class NotProven(Exception):
    """Something of an original may have stayed: ``where`` says which path it is from, never what it is."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


@dataclass(slots=True)
class Taken:
    """``path`` is that of the request, below the platform's base URL. ``reply`` is None until it came."""

    path: str
    reply: WireReply | None = None


@dataclass
class Tape:
    """A transport that passes everything on and remembers it, in the order of asking."""

    below: Transport
    taken: list[Taken] = field(default_factory=list)

    async def send(self, request: WireRequest, *, timeout: float, leave: Leave) -> WireReply:  # noqa: ASYNC109
        one = Taken(urlsplit(request.url).path)
        self.taken.append(one)
        one.reply = reply = await self.below.send(request, timeout=timeout, leave=leave)
        return reply

    def secured(self, tls: Tls) -> Transport:
        """With the platform's own terms for TLS, where what lies below can take them on."""
        return Tape(self.below.secured(tls) if isinstance(self.below, Secures) else self.below, self.taken)


class OutOfReplies(Exception):
    """The connector asked once more than there are replies."""


@dataclass
class Saved:
    """A transport that gives these replies, one after the other, whatever is asked."""

    replies: Sequence[WireReply]
    requests: list[WireRequest] = field(default_factory=list)

    async def send(
        self,
        request: WireRequest,
        *,
        timeout: float,  # noqa: ASYNC109, ARG002
        leave: Leave,  # noqa: ARG002
    ) -> WireReply:
        if len(self.requests) == len(self.replies):
            raise OutOfReplies
        self.requests.append(request)
        return self.replies[len(self.requests) - 1]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked, and how it is to be recorded. ``now``: UTC text of when."""

    dataset: str
    subject: Subject
    period: tuple[tuple[int, int], tuple[int, int]]
    now: str
    case: str
    keep: Collection[str] = ()
    keep_amounts: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """``files`` by name, the case among them. ``done``: path, what was done, why."""

    files: Mapping[str, bytes]
    outcome: str
    done: Sequence[tuple[str, str, str]]


async def record(loaded: Loaded, wanted: Wanted, taken: Sequence[Taken], secrets: Mapping[str, str]) -> Recording:
    """Scrubbed, replayed by the kit, and searched for what must not be there. ``secrets``: the real ones, by name.

    Raises NotProven, Unreadable, and InvalidRequest where nothing came.
    """
    dataset = next(one for one in loaded.manifest.dataset if one.name == wanted.dataset)
    came = [(one.path, one.reply) for one in taken if one.reply is not None]
    if not came:
        raise InvalidRequest(at="dataset", mend="no reply came that could be recorded: look at `connectors fetch`")
    terms = terms_of(loaded.manifest, dataset, wanted.keep, keep_amounts=wanted.keep_amounts)
    found: str | None = None
    for seed in range(_SEEDS):
        recording, hidden = await _once(loaded, wanted, dataset, terms, came, seed)
        hidden |= {text: f"secrets.{name}" for name, text in _lines(secrets)}
        found = leak(recording.files, hidden)
        if found is None:
            return recording
        if found.startswith("secrets."):
            break
    raise NotProven(str(found))


async def _once(
    loaded: Loaded, wanted: Wanted, dataset: Dataset, terms: Terms, came: Sequence[tuple[str, WireReply]], seed: int
) -> tuple[Recording, dict[str, str]]:
    inventor, notes = Inventor(wanted.subject, seed), Notes()
    codes = {path: role for path, role in terms.roles.items() if role.kind in ("code", "result")}
    token = replace(terms, roles=codes, token=True)
    replies = [scrubbed(reply, terms if _template(dataset, path) else token, inventor, notes) for path, reply in came]
    saved = Saved(replies)
    fixture = _head(wanted, inventor.subject)
    fixture["expect"] = await _expected(loaded, wanted, inventor.subject, saved)
    requests = saved.requests
    # Of several tries at one call the engine needs only the first that it believes.
    replies = replies[: len(requests)]
    several = len(replies) > 1
    names = [f"{wanted.case}{f'-{n}' if several else ''}.{_suffix(one)}" for n, one in enumerate(replies, start=1)]
    fixture["exchanges"] = [
        {
            "request": _request(request, dataset),
            "reply": {"status": reply.status, "content_type": reply.headers["content-type"], "file": name},
        }
        for request, reply, name in zip(requests, replies, names, strict=True)
    ]
    files = {f"{wanted.case}.json": orjson.dumps(fixture, option=orjson.OPT_INDENT_2) + b"\n"}
    files |= {name: reply.body for name, reply in zip(names, replies, strict=True)}
    if why := await _prove(loaded, files, f"{wanted.case}.json"):
        raise NotProven(f"the kit says: {why}")
    said = _words("\n".join(file.read_text("utf-8") for file in loaded.files)) | _own_words() | notes.words
    own = f"{wanted.now} {fixture['period']} {MARKS}"
    hidden = {text: path for text, path in notes.hidden.items() if text not in said and text not in own}
    hidden |= {wanted.subject.uscc: "subject.uscc", wanted.subject.name: "subject.name"}
    done = sorted((path, what, why) for path, several in notes.done.items() for what, why in several)
    outcome = fixture["expect"]
    return Recording(files, f"{outcome['outcome']} {outcome.get('code', '')}".strip(), done), hidden


@cache
def _own_words() -> set[str]:
    """The words that a fixture itself is written in."""
    return _words(f"{Fixture.model_json_schema()} application/json text/xml utf-8 gb18030 charset")


def _words(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z][A-Za-z_-]{2,}|[0-9]{1,6}", text))


def _suffix(reply: WireReply) -> str:
    return "xml" if "xml" in reply.headers["content-type"] else "reply.json"


def _lines(secrets: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A key of several lines is one secret by each of its lines."""
    for name, value in secrets.items():
        yield from ((name, line.strip()) for line in value.splitlines() if not line.startswith("-----"))


def _template(dataset: Dataset, path: str) -> Request | None:
    """Which of the data set's requests goes to this path; a scheme that fetches a token asks another."""
    for one in (dataset.request, dataset.submit, dataset.poll):
        if one is not None:
            fixed = re.split(r"\{[^{}]*\}", one.path)
            if re.search("[^/]+".join(map(re.escape, fixed)) + "$", path):
                return one
    return None


async def rehearsed(loaded: Loaded, wanted: Wanted, replies: Sequence[WireReply]) -> list[Taken]:
    """Saved replies as if they had just come: in the order in which the connector asks for them."""
    tape = Tape(Saved(replies))
    await _expected(loaded, wanted, wanted.subject, tape)
    return tape.taken


async def _expected(loaded: Loaded, wanted: Wanted, subject: Subject, transport: Transport) -> dict[str, Any]:
    """What the engine makes of what ``transport`` gives, as a fixture says it."""
    one = Fixture.model_validate_json(
        orjson.dumps({**_head(wanted, subject), "exchanges": [_ANY], "expect": {"outcome": "found"}})
    )
    limits = loaded.manifest.limits.model_copy(update={"concurrency": 1})
    alone = replace(loaded, manifest=loaded.manifest.model_copy(update={"limits": limits}))
    deadline = asyncio.get_running_loop().time() + PATIENCE
    try:
        made = connector_of(alone, transport, one)
        reply = await made.fetch(query_of(loaded, one), OpenGuard(), deadline, Progress())
    except UpstreamError as error:
        return {"outcome": "failure", "code": error.code}
    except OutOfReplies:
        raise InvalidRequest(at="reply", mend="the connector asks once more: give every reply of the fetch") from None
    expect: dict[str, Any] = {"outcome": OUTCOMES[reply.found], "records": list(reply.records)}
    if reply.as_of is not None:
        expect["as_of"] = reply.as_of.isoformat()
    if reply.repairs:
        expect["repairs"] = list(reply.repairs)
    if reply.drift:
        expect["drift"] = dict(reply.drift)
    return expect


def _head(wanted: Wanted, subject: Subject) -> dict[str, Any]:
    given = {"uscc": subject.uscc, "name": subject.name}
    if subject.registration_number is not None:
        given["registration_number"] = subject.registration_number
    period = [f"{year:04d}-{month:02d}" for year, month in wanted.period]
    return {"dataset": wanted.dataset, "subject": given, "period": period, "now": wanted.now}


_ANY = {"request": {"method": "GET", "path": "/"}, "reply": {"file": "any"}}


def _request(request: WireRequest, dataset: Dataset) -> dict[str, Any]:
    """What of a request is held against the fixture: what the manifest says, and nothing that a scheme adds."""
    url = urlsplit(request.url)
    shown: dict[str, Any] = {"method": request.method, "path": url.path}
    template = _template(dataset, url.path)
    if template is None:
        return shown
    if query := {k: v for k, v in parse_qsl(url.query, keep_blank_values=True) if k in template.query}:
        shown["query"] = query
    body = template.body or {}
    if template.encode == "json":
        shown["json"] = _members(request.body, body)
    elif template.encode == "form":
        pairs = dict(parse_qsl(request.body.decode("ascii", "replace"), keep_blank_values=True))
        shown["form"] = {k: v for k, v in pairs.items() if k in body}
    elif template.encode == "xml":
        text = request.body.decode(template.charset, "replace")
        shown["text"] = [leaf[0] for leaf in _LEAF.finditer(text)]
    return shown


_LEAF = re.compile(r"<([A-Za-z_][\w.-]*)>[^<>]*</\1>")


def _members(body: bytes, template: Mapping[str, Json]) -> dict[str, Any]:
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return {k: v for k, v in sent.items() if k in template} if isinstance(sent, dict) else {}


async def _prove(loaded: Loaded, files: Mapping[str, bytes], case: str) -> str:
    """What the kit says of the fixture as it will stand on disk; nothing where it holds."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        keys = loaded.fixtures / "secrets.json"
        if keys.is_file():
            (folder / keys.name).write_bytes(keys.read_bytes())
        fixture = Fixture.model_validate_json(files[case])
        return await play(replace(loaded, fixtures=folder), fixture)
