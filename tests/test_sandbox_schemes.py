"""Every scheme that no platform of the catalogue speaks, against the bureau of the sandbox, over a socket.

The bureau's rules are its own; what it answers is held against its signature by the connectors.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from connectors.sandbox.bureau.server import DIALECTS
from connectors.sandbox.server import Running, start_sandbox
from connectors.signing import SCHEMES
from connectors.signing.base import Moment, Signer, new_nonce
from connectors.transport import AioTransport
from connectors.wire import Draft, WireReply, WireRequest
from schemas.errors import UpstreamDenied, UpstreamSignature
from tests.signing_world import SM2, key, pem
from tests.test_signing_verifying import flipped

NOW = 1795500000.0
NAMES = [kind.name for kind in DIALECTS]
SPEAKING = [kind.name for kind in DIALECTS if kind.reply]
BODY = {"uscc": "91990000MA0000015Q", "name": "虚构一号"}
every_scheme = pytest.mark.parametrize("name", NAMES)
OTHERS = {
    "bg-hmac": {"secret_key": "other"},
    "apisix-hmac": {"secret_key": "other"},
    "national": {"app_secret": "other-other-other-other-other-ot"},
    "md5-rotating": {"app_secret": "other"},
    "wechatpay-v3": {"private_key": pem(key("rsa", 0))},
    "rfc9421": {"private_key": pem(key("ed", 0))},
    "jws-detached": {"private_key": pem(key("ec", 0))},
    "sm2-envelope": {"private_key": SM2[0]},
    "placeholder-sm2": {"private_key": SM2[0]},
}
"""Of the right shape, and not the caller's."""


@dataclass
class Caller:
    """One scheme of one bureau; ``said`` is what /_sandbox/schemes says of it."""

    name: str
    base_url: str
    said: Mapping[str, Any]
    transport: AioTransport

    def signer(self, **secrets: str) -> Signer:
        return SCHEMES[self.name].build(self.said["options"], {**self.said["secrets"], **secrets})

    def draft(self) -> Draft:
        encode = "form" if self.name == "placeholder-sm2" else "json"
        query = () if encode == "form" else (("a", "1 2"), ("b", ""))
        return Draft("POST", self.base_url, "/q/企业", query, {**BODY}, encode)  # type: ignore[arg-type]

    async def signed(self, at: float = NOW, nonce: str = "", secrets: Mapping[str, str] | None = None) -> WireRequest:
        return await self.signer(**(secrets or {})).sign(self.draft(), Moment(at, nonce or new_nonce()), self.send)

    async def send(self, request: WireRequest) -> WireReply:
        return await self.transport.send(request, timeout=10)

    async def status(self, request: WireRequest) -> tuple[int, str]:
        reply = await self.send(request)
        return reply.status, orjson.loads(reply.body)["code"] if reply.status != 200 else ""

    async def opened(self, reply: WireReply, request: WireRequest, nonce: str) -> WireReply:
        stated = dict(self.said["reply"])
        scheme, bound = SCHEMES[stated.pop("scheme")], stated.pop("bound", False)
        return await scheme.opener(stated, self.said["secrets"], bound=bound).open(reply, request, nonce, NOW)


@asynccontextmanager
async def callers(url: str) -> AsyncIterator[dict[str, Caller]]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/_sandbox/schemes") as reply:
        said = await reply.json()
    transport = AioTransport(allowed_private=[url.removeprefix("http://")])
    yield {name: Caller(name, f"{url}/schemes/{name}", said[name], transport) for name in said}
    await transport.close()


@pytest.fixture
async def bureau() -> AsyncIterator[dict[str, Caller]]:
    running: Running = await start_sandbox(clock=lambda: NOW)
    async with callers(running.url) as made:
        yield made
    await running.close()


@every_scheme
async def test_a_call_goes_there_and_its_answer_back(bureau: dict[str, Caller], name: str) -> None:
    caller, nonce = bureau[name], new_nonce()
    request = await caller.signed(nonce=nonce)
    reply = await caller.send(request)
    assert reply.status == 200
    if caller.said["reply"]:
        reply = await caller.opened(reply, request, nonce)
    answer = orjson.loads(reply.body)
    assert (answer["code"], answer["scheme"]) == ("0", name)
    assert BODY.items() <= orjson.loads(answer["received"]).items()


@every_scheme
async def test_the_same_call_twice_is_refused_the_second_time(bureau: dict[str, Caller], name: str) -> None:
    request = await bureau[name].signed()
    assert (await bureau[name].status(request))[0] == 200
    assert await bureau[name].status(request) == (401, "replayed")


@every_scheme
@pytest.mark.parametrize("late", [301.0, -301.0])
async def test_a_call_from_another_time_is_refused(bureau: dict[str, Caller], name: str, late: float) -> None:
    caller = bureau[name]
    try:
        request = await caller.signed(at=NOW - late)
    except UpstreamDenied:
        return  # the rotating secret itself was refused
    assert await caller.status(request) == (401, "stale")


@every_scheme
async def test_a_key_of_the_right_shape_that_is_not_the_right_one_is_refused(
    bureau: dict[str, Caller], name: str
) -> None:
    caller = bureau[name]
    try:
        request = await caller.signed(secrets=OTHERS[name])
    except UpstreamDenied:
        return
    assert await caller.status(request) == (401, "bad_signature")


def spoiled(request: WireRequest, name: str) -> list[WireRequest]:
    """One covered component changed in each: headers of the scheme, target, method, body."""
    own = [k for k in request.headers if k.lower() not in ("content-type",)]
    changed = [request._replace(headers={**request.headers, k: flipped(request.headers[k], 30, 7)}) for k in own]
    if name in ("national", "md5-rotating"):
        members = orjson.loads(request.body)
        return changed + [
            request._replace(body=orjson.dumps({**members, k: flipped(members[k], 3, 7)}))
            for k in ("appKey", "requestTime", "sign")
            if k in members
        ]
    if name in ("sm2-envelope", "placeholder-sm2"):
        at = range(20, len(request.body) - 20, 61)
        return [request._replace(body=request.body[:n] + b"!" + request.body[n + 1 :]) for n in at]
    changed += [request._replace(method="PUT"), request._replace(url=request.url.replace("a=1", "a=2"))]
    if name != "bg-hmac":
        changed.append(request._replace(body=request.body.replace(b"9199", b"9198")))
    return changed


@every_scheme
async def test_no_covered_component_can_be_changed(bureau: dict[str, Caller], name: str) -> None:
    caller = bureau[name]
    if name == "jws-detached":
        request = await caller.signed()
        bad = [request._replace(body=request.body + b" ")]
        bad += [request._replace(headers={"X-JWS-Signature": flipped(request.headers["X-JWS-Signature"], n, 7)})
                for n in range(5, 200, 40)]  # fmt: skip
    else:
        bad = spoiled(await caller.signed(), name)
    assert bad
    for request in bad:
        status, why = await caller.status(request)
        assert status in (400, 401), (why, request)


@every_scheme
async def test_a_call_without_its_signature_is_refused(bureau: dict[str, Caller], name: str) -> None:
    caller = bureau[name]
    request = caller.draft().wire()
    assert (await caller.status(request))[0] in (400, 401)
    assert (await caller.status(request._replace(body=b"{")))[0] in (400, 401)


@pytest.mark.parametrize("name", SPEAKING)
async def test_an_answer_that_was_changed_or_repeated_is_refused(bureau: dict[str, Caller], name: str) -> None:
    caller, nonce = bureau[name], new_nonce()
    request = await caller.signed(nonce=nonce)
    reply = await caller.send(request)
    bad = [reply._replace(body=reply.body[:40] + b"x" + reply.body[41:])]
    ours = ("signature", "x-jws", "wechatpay", "content-digest")
    for header in [k for k in reply.headers if k.startswith(ours)]:
        left = {k: v for k, v in reply.headers.items() if k != header}
        bad += [reply._replace(headers=left)]
        bad += [reply._replace(headers={**left, header: flipped(reply.headers[header], n, 7)}) for n in (0, 25, 60)]
    for spoilt in bad:
        with pytest.raises(UpstreamSignature):
            await caller.opened(spoilt, request, nonce)
    # The answer to another request, or one that came before.
    if name in ("rfc9421", "jws-detached", "sm2-envelope"):
        other = request._replace(url=request.url + "1")
        with pytest.raises(UpstreamSignature):
            await caller.opened(reply, other, "another-nonce")


async def test_what_is_no_scheme_of_the_bureau_is_not_found(bureau: dict[str, Caller]) -> None:
    caller = bureau["rfc9421"]
    reply = await caller.send(caller.draft()._replace(base_url=caller.base_url + "x").wire())
    assert reply.status == 404


def test_every_scheme_is_spoken_by_a_platform_of_the_catalogue_or_by_the_bureau() -> None:
    catalogue = Path(__file__).parent.parent / "connectors" / "catalogue"
    texts = [path.read_text("utf-8") for path in catalogue.glob("*/*.toml")]
    spoken = {name for name in SCHEMES if any(f'scheme = "{name}"' in text for text in texts)}
    assert SCHEMES.keys() - spoken <= set(NAMES)


# --- two processes and a restart ---------------------------------------------------------------------------------

RUN = "from gateway.cli.main import main; main()"


@asynccontextmanager
async def sandbox_process(nonces: Path) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, "sandbox", "--port", "0", "--nonces", str(nonces),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = ""
        while "simulated platforms on " not in line:
            line = (await process.stdout.readline()).decode()
            assert line
        yield line.split("simulated platforms on ")[1].split()[0]
    finally:
        process.kill()
        await process.wait()


async def test_what_one_process_saw_another_refuses_and_so_does_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "nonces.sqlite"
    sent: dict[str, WireRequest] = {}
    async with (
        sandbox_process(file) as first,
        sandbox_process(file) as second,
        callers(first) as one,
        callers(second) as two,
    ):
        for name, caller in one.items():
            request = sent[name] = await caller.signed(at=time.time())
            assert (await caller.status(request))[0] == 200, name
            # rfc9421 covers the host: there it is forged, before it is a repetition.
            if name != "rfc9421":
                assert await two[name].status(moved(request, first, second)) == (401, "replayed"), name
    async with sandbox_process(file) as third, callers(third) as again:
        for name, request in sent.items():
            code = (await again[name].status(moved(request, first, third)))[1]
            assert code == ("bad_signature" if name == "rfc9421" else "replayed"), name


def moved(request: WireRequest, old: str, new: str) -> WireRequest:
    return request._replace(url=request.url.replace(old, new))
