"""An enterprise's browser at the pages of a gateway, and what a lender asks of it; everybody is invented."""

import html
import re
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from gateway.demo import subject_of
from tests.gateway_world import SMALL, World

HRSS = {"platform": "sh-hrss", "dataset": SMALL, "fields": ["month", "kind", "persons", "base"]}
TAX = {"platform": "sh-tax", "dataset": "tax_returns", "fields": ["tax", "period_from", "period_to", "sales"]}


def asked(world: World, **changes: Any) -> dict[str, Any]:
    """A request for two data sets, one of them with a sensitive field."""
    return {
        "subject": subject_of(world.firm),
        "signer": {"role": "legal_representative", "person_ref": "sandbox-person-1"},
        "purpose": "credit_assessment",
        "purpose_text": {
            "zh": "审批本企业的流动资金贷款申请。",
            "en": "To decide on the enterprise's loan application.",
        },
        "application": "SANDBOX-LOAN-7",
        "scopes": [HRSS, TAX],
        "lookback_months": 24,
        "valid_days": 90,
        "max_uses": 3,
        "retention_days": 1825,
        "disposal": {"zh": "到期销毁。", "en": "They are destroyed."},
        **changes,
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer as a browser has it."""

    status: int
    headers: Any
    text: str
    url: str

    @property
    def plain(self) -> str:
        """The visible text."""
        inside = self.text.partition("<main>")[2]
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", inside)))

    def hidden(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', self.text):
            found.setdefault(name, []).append(html.unescape(value))
        return found

    @property
    def code(self) -> str:
        match = re.search(r'id="sandbox-code">([0-9]{6})<', self.text)
        assert match, self.text
        return match[1]


@dataclass
class Browser:
    """Keeps cookies, follows redirects, sends forms as a browser does."""

    base: str
    session: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=lambda: {"Accept": "text/html", "User-Agent": "Test/1.0 (phone)"})

    async def get(self, path: str, **headers: str) -> Seen:
        return await self._send("GET", path, None, headers)

    async def post(self, path: str, form: Any, follow: bool = True, **headers: str) -> Seen:
        pairs = [(k, v) for k, values in form.items() for v in ([values] if isinstance(values, str) else values)]
        return await self._send("POST", path, pairs, headers, follow)

    async def _send(self, method: str, path: str, form: Any, headers: dict[str, str], follow: bool = True) -> Seen:
        async with self.session.request(
            method, self.base + path, data=form, headers={**self.headers, **headers}, allow_redirects=follow
        ) as reply:
            return Seen(reply.status, reply.headers, await reply.text(), str(reply.url.relative()))


async def ask(world: World, lender: Any = None, **changes: Any) -> dict[str, Any]:
    """What the gateway answered, with the link's path as ``path``."""
    reply = await world.send("POST", "/v1/consent-requests", asked(world, **changes), lender=lender or world.lender)
    assert reply.status == 201, reply.json
    made: dict[str, Any] = orjson.loads(reply.body)
    return {**made, "path": "/authorize/" + made["link"].rpartition("/")[2]}


def browser(world: World, session: aiohttp.ClientSession) -> Browser:
    return Browser(world.demo.gateway_url, session)


async def give(visitor: Browser, path: str, separate: tuple[str, ...] = (SMALL,)) -> Seen:
    """Read, tick, show the code, agree: the receipt page."""
    page = await visitor.get(path)
    form = {**page.hidden(), "agree": "yes", "separate": list(separate)}
    identity = await visitor.post(path, form)
    return await visitor.post(path + "/confirm", {**identity.hidden(), "code": identity.code})
