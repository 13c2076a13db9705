"""Sixty planted personal data, all invented: nothing that the gateway writes about itself repeats one of them."""

import io
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from connectors.transport import AioTransport
from connectors.wire import WireReply
from gateway.cli.main import main
from gateway.demo import export_and_verify
from gateway.telemetry import configure_logging
from tests.gateway_world import SMALL, World, gateway_world

PLACES = (
    "body", "key of a body", "path", "query", "header", "form", "token", "exception", "locals of a traceback",
    "upstream address", "upstream reply", "message of a library",
)  # fmt: skip


def planted(place: int) -> dict[str, str]:
    """One of each kind, other in each place. Region parts, banks and prefixes are nobody's."""
    return {
        "id": f"99010119900307{place:03}X",
        "phone": f"1990000{place:04}",
        "card": f"999902020011223{place:04}",
        "name": f"虚构某{chr(0x4E10 + place)}",
        "address": f"虚构省假名市无此路{place}号",
    }


CANARIES = {place: planted(number) for number, place in enumerate(PLACES)}
LEVELS = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]


def found(text: str) -> list[str]:
    """The planted values that can be read in ``text``, also percent-encoded or as JSON escapes."""
    return [
        f"{kind} from {place}"
        for place, values in CANARIES.items()
        for kind, value in values.items()
        if any(form in text for form in (value, quote(value), orjson.dumps(value).decode(), ascii(value)[1:-1]))
    ]


def test_there_are_sixty_and_the_search_finds_each_in_every_form() -> None:
    every = [value for values in CANARIES.values() for value in values.values()]
    assert len(set(every)) == 60
    for value in every:
        for form in (value, quote(value), ascii(value)):
            assert len(found(f"… {form} …")) == 1, value


class Said:
    """Everything that came out: answers with their headers, logs, standard error."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.texts: list[str] = []

    async def ask(
        self, method: str, path: str, body: Any = None, known: bool = True, headers: Mapping[str, str] | None = None
    ) -> int:
        lender = self.world.lender if known else None
        reply = await self.world.send(method, path, body, lender=lender, **(headers or {}))
        self.texts.append(f"{reply.status} {dict(reply.headers)} {reply.body.decode()}")
        assert reply.status >= 400, (path, reply.status)
        return reply.status

    async def callers_mistakes(self, kind: str) -> None:
        values = {place: CANARIES[place][kind] for place in PLACES}
        grant = self.world.grant()
        await self.ask("POST", "/v1/consents", grant | {"purpose": values["body"]})
        await self.ask("POST", "/v1/consents", grant | {"subject": {"uscc": values["body"], "name": values["body"]}})
        await self.ask("POST", "/v1/consents", grant | {values["key of a body"]: values["body"]})
        await self.ask("POST", "/v1/consents", f'{{"a": "{values["body"]}", }}'.encode())
        await self.ask("POST", "/v1/profiles", self.world.ask(values["body"]))
        for path in ("/v1/consents/", "/v1/profiles/", "/v1/", "/"):
            await self.ask("GET", path + quote(values["path"]))
            await self.ask("POST", path + quote(values["path"]), {})
        await self.ask("GET", f"/v1/consents?{quote(values['query'])}={quote(values['query'])}")
        held = {"X-Person": quote(values["header"]), "Idempotency-Key": quote(values["header"])}
        await self.ask("POST", "/v1/profiles", self.world.ask("c" + "0" * 30), headers=held)
        form = f"grant_type=client_credentials&client_assertion={quote(values['form'])}".encode()
        await self.ask("POST", "/oauth/token", form, False, {"Content-Type": "application/x-www-form-urlencoded"})
        await self.ask(
            "GET", "/v1/consents", known=False, headers={"Authorization": f"Bearer {quote(values['token'])}"}
        )

    async def defects(self, kind: str, consent: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> None:
            person = CANARIES["locals of a traceback"][kind]
            raise RuntimeError(CANARIES["exception"][kind], len(person))

        with monkeypatch.context() as patch:
            patch.setattr("gateway.profile.issue.assemble", broken)
            assert await self.ask("POST", "/v1/profiles", self.world.ask(consent)) == 500
        library = logging.getLogger("aiohttp.server")
        for level in LEVELS:
            try:
                broken()
            except RuntimeError:
                library.log(level, "failed for %s", CANARIES["message of a library"][kind], exc_info=True)

    async def upstreams(self, kind: str, consent: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A platform whose reply holds the value, then one whose failure names an address with the value in it."""
        body = orjson.dumps({"code": CANARIES["upstream reply"][kind], "rows": [CANARIES["upstream reply"][kind]]})

        async def replies(*_: object, **__: object) -> WireReply:
            return WireReply(200, {"content-type": "application/json"}, body)

        async def fails(*_: object, **__: object) -> WireReply:
            raise ValueError(f"https://platform.invalid/?person={CANARIES['upstream address'][kind]}")

        for send in (replies, fails):
            with monkeypatch.context() as patch:
                patch.setattr(AioTransport, "send", send)
                asked = self.world.ask(consent)
                reply = await self.world.send("POST", "/v1/profiles", asked, lender=self.world.lender)
            assert reply.json["sections"][SMALL]["state"] == "unavailable"
            self.texts.append(reply.body.decode())


async def test_no_planted_value_is_in_anything_that_comes_out_at_any_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged = {level: io.StringIO() for level in LEVELS}
    root = logging.getLogger()
    async with gateway_world(tmp_path / "data") as world:
        said = Said(world)
        consent = (await world.consent(max_uses=200))["id"]
        for level, stream in logged.items():
            configure_logging(stream, level)
            root.setLevel(level)
            for kind in planted(0):
                await said.callers_mistakes(kind)
                await said.defects(kind, consent, monkeypatch)
                await said.upstreams(kind, consent, monkeypatch)
        said.texts.append((await world.send("GET", "/metrics")).body.decode())
        report = await export_and_verify(world.demo.services, tmp_path / "log")
        said.texts += [report.text(), report.as_json(), repr(world.demo.services), repr(world.app)]
    root.setLevel(logging.WARNING)
    assert report.ok
    files = [file for file in (tmp_path / "log").rglob("*") if file.is_file()]
    said.texts += [file.read_bytes().decode("utf-8", "replace") for file in files]
    lines = {level: stream.getvalue() for level, stream in logged.items()}
    assert found("\n".join([*said.texts, *lines.values(), *capsys.readouterr()])) == []
    assert lines[logging.DEBUG].count('"defect"') == lines[logging.ERROR].count('"defect"') == 5
    assert lines[logging.INFO].count('"request"') == 100


@pytest.mark.parametrize("kind", planted(0))
def test_a_command_that_is_used_wrongly_or_breaks_repeats_none_either(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value = CANARIES["body"][kind]
    file = tmp_path / "grant.json"
    file.write_text(f'{{"subject": {{"name": "{value}"}}, "purpose": "{value}"}}', "utf-8")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(value)

    def told(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["xinqiao", "--data", str(tmp_path / "data"), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code
        return "".join(capsys.readouterr())

    assert found(told("consent", "grant", str(file))) == []
    monkeypatch.setattr("gateway.cli.shared.open_services", broken)
    text = told("consent", "list")
    assert found(text) == []
    assert "RuntimeError" in text
