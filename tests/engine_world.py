"""A small platform made of TOML and scripted replies, for the tests of the engine."""

import asyncio
import json
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.base import Progress, Query, Reply, Subject
from connectors.engine.connector import DeclarativeConnector
from connectors.manifest import Loaded, load
from connectors.ports import Guard, OpenGuard
from connectors.wire import Leave, WireReply, WireRequest
from schemas.errors import ConsentRevoked
from schemas.identifiers import organisation_code_check, uscc_check

NOW = 1795500000.0  # 2026-11-24 in Asia/Shanghai
SECRETS = {"paasid": "invented", "token": "invented"}


def invented(number: int) -> str:
    """A valid USCC in a region that does not exist."""
    organisation = f"MA{number:06d}"
    first = f"91990000{organisation}{organisation_code_check(organisation)}"
    return first + uscc_check(first)


FIRM = Subject(invented(1), "虚构一号（沙箱）有限公司", "340000000016368")
OTHER = invented(2)

BASE = """id = "xx-bureau"
version = "1"
names = { zh = "某局（虚构）", en = "Some bureau (invented)" }
owner = "test"
assurance = "assumed"
base_url = "https://bureau.invalid"

[auth]
scheme = "tif"
secrets = ["paasid", "token"]

[outcome]
code = "code"
denied = [{ at = "code", equals = "denied" }]
retry = [{ at = "code", equals = "busy", after = "wait" }]
no_record = [{ at = "code", equals = "none" }]
success = [{ at = "code", equals = "0" }]
echo = { uscc = "data.uscc", name = "data.name" }
"""

FUND = """
[[dataset]]
name = "provident_fund"
request = { path = "/fund", encode = "json", body = { uscc = "{uscc}" } }
rows = { at = "data.list" }

[dataset.fields]
month = { from = "ny", type = "month", forms = ["yyyyMM"] }
persons = { from = "rs", type = "count" }
base = { from = "js", type = "money", unit = "元" }
paid_up_to = { from = "jzny", type = "month", forms = ["yyyyMM"] }
"""


def folder(at: Path, text: str) -> Path:
    at.mkdir(parents=True, exist_ok=True)
    (at / "manifest.toml").write_text(text, "utf-8")
    tomllib.loads(text)
    return at


def body(rows: Any, **more: Any) -> dict[str, Any]:
    """A success about FIRM."""
    return {"code": "0", "data": {"uscc": FIRM.uscc, "name": FIRM.name, "list": rows, **more}}


def row(month: str = "202610", persons: int = 30) -> dict[str, Any]:
    return {"ny": month, "rs": persons, "js": "312000.00"}


Answer = dict[str, Any] | WireReply | Exception


@dataclass
class Scripted:
    """Answers the next of its replies to whatever comes, or what ``by`` makes of the request."""

    replies: list[Answer] = field(default_factory=list)
    by: Callable[[WireRequest], Answer] | None = None
    requests: list[WireRequest] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)

    async def send(self, request: WireRequest, *, timeout: float, leave: Leave) -> WireReply:  # noqa: ASYNC109
        await leave()
        self.requests.append(request)
        self.timeouts.append(timeout)
        answer = self.by(request) if self.by else self.replies.pop(0)
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, WireReply):
            return answer
        return WireReply(200, {"content-type": "application/json"}, json.dumps(answer, ensure_ascii=False).encode())

    def bodies(self) -> list[Any]:
        return [json.loads(request.body) for request in self.requests]


class Naps:
    """Stands in for sleep: remembers, and does not wait."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


class Nonces:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return f"nonce{self.count:011d}"


def connector(loaded: Loaded, transport: Any, **more: Any) -> DeclarativeConnector:
    given: dict[str, Any] = {"clock": lambda: NOW, "nonce": Nonces(), "sleep": Naps()}
    return DeclarativeConnector(loaded, transport, SECRETS, **{**given, **more})


async def fetch(
    made: DeclarativeConnector,
    dataset: str = "provident_fund",
    *,
    fields: Iterable[str] | None = None,
    first: tuple[int, int] = (2026, 9),
    last: tuple[int, int] = (2026, 10),
    guard: Guard | None = None,
    progress: Progress | None = None,
    patience: float = 10,
    subject: Subject = FIRM,
) -> Reply:
    wanted = frozenset(made.datasets.get(dataset, frozenset()) if fields is None else fields)
    query = Query(subject, dataset, wanted, first, last)
    deadline = asyncio.get_running_loop().time() + patience
    return await made.fetch(query, guard or OpenGuard(), deadline, progress or Progress())


def bureau(at: Path, dataset: str = FUND, base: str = BASE) -> Loaded:
    return load(folder(at / "xx-bureau", base + dataset))


NONE: dict[str, Any] = {"code": "none"}
BUSY: dict[str, Any] = {"code": "busy"}
Changes = tuple[tuple[str, str], ...]
# Every row has a month, and the data set says so.
PERIOD: Changes = (('rows = { at = "data.list" }', 'rows = { at = "data.list" }\nperiod = "month"'),)


def edited(tmp_path: Path, *changes: tuple[str, str], base: Changes = ()) -> Loaded:
    """The bureau with some texts of its manifest replaced."""
    text, head = FUND, BASE
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    for old, new in base:
        assert head.count(old) == 1, old
        head = head.replace(old, new)
    return bureau(tmp_path, text, head)


async def ask(tmp_path: Path, *replies: Answer, changes: Changes = (), base: Changes = (), **more: Any) -> Reply:
    made = connector(edited(tmp_path, *changes, base=base), Scripted(list(replies)))
    return await fetch(made, **more)


class Watch:
    """A guard that says no at the n-th question of a kind, and remembers the order of all of them."""

    def __init__(self, send: int = 0, keep: int = 0) -> None:
        self.left = {"send": send, "keep": keep}
        self.asked: list[str] = []

    def _ask(self, kind: str) -> None:
        self.asked.append(kind)
        if self.left[kind] and self.asked.count(kind) == self.left[kind]:
            raise ConsentRevoked

    async def may_send(self) -> None:
        self._ask("send")

    async def may_keep(self) -> None:
        self._ask("keep")
