"""The gateway and its witnesses: every head is offered, what they sign is kept, served and exported, and a log that
went back or forked is an alarm."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError
from sqlalchemy import update

from connectors.transport import AioTransport
from consent.cosignatures import StoreCosignature, signed_head
from consent.evidence import Evidence
from consent.log.note import COSIGNATURE, Checkpoint, Note, Vkey, cosign, open_checkpoint
from consent.log.tiles import export
from consent.log.verify import verify_export
from consent.log.witness import Folder, Witness
from consent.profiles import RecordEvent
from consent.storage import Database
from consent.tables import log_cosignatures
from gateway import cosigning as module
from gateway.app import create_app
from gateway.cli.main import main
from gateway.cosigning import Cosigner, NotCosigned, cosign_now
from gateway.services import SERVICES, open_services
from gateway.settings import Settings
from gateway.settings import Witness as WitnessSetting
from gateway.witness import witness_app
from schemas.errors import StorageUnavailable, UpstreamConnect
from tests.consent_world import LENDER, LOG_KEY, ORIGIN, world
from tests.log_export import WITNESS, WITNESS_KEY, WITNESS_VKEY

pytestmark = pytest.mark.usefixtures("quick")
LOG_VKEY = Vkey.of(ORIGIN, LOG_KEY)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OFFER_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)


def now() -> int:
    return int(datetime.now(UTC).timestamp())


@asynccontextmanager
async def on_loopback(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def witness_at(folder: Path, vkey: Vkey = LOG_VKEY, name: str = WITNESS) -> AsyncIterator[str]:
    held = Folder(folder)
    try:
        async with on_loopback(witness_app(Witness(name, WITNESS_KEY, {vkey.name: [vkey]}, held, now))) as url:
            yield url
    finally:
        held.close()


@asynccontextmanager
async def cosigner(evidence: Evidence, url: str, vkey: Vkey = WITNESS_VKEY) -> AsyncIterator[Cosigner]:
    transport = AioTransport(allowed_private=[url.removeprefix("http://").rstrip("/")])
    try:
        yield Cosigner("w1", url, vkey, evidence, transport)
    finally:
        await transport.close()


async def grow(evidence: Evidence, by: int = 1) -> None:
    for _ in range(by):
        await evidence.submit(RecordEvent("log.read", LENDER, None, None, {"first": 0, "last": 0}))


async def plain(evidence: Evidence) -> str:
    return (await evidence.signed_head()).plain


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    while not await true():  # noqa: ASYNC110 - what is waited for is in a file
        await asyncio.sleep(0.005)


async def refused(one: Cosigner, evidence: Evidence) -> str:
    with pytest.raises(NotCosigned) as error:
        await one.offer(await plain(evidence))
    return error.value.code


async def test_each_head_is_co_signed_and_the_checkpoint_then_carries_the_line(tmp_path: Path) -> None:
    async with (
        witness_at(tmp_path / "w") as url,
        world(tmp_path / "e.db") as evidence,
        cosigner(evidence, url + "/") as one,
    ):
        for by in (0, 1, 6, 0):
            await grow(evidence, by)
            assert await evidence.checkpoint() == await plain(evidence) or by == 0
            line = await one.offer(await plain(evidence))
            head = await evidence.signed_head()
            assert head.lines == {WITNESS_VKEY.text(): line}
            assert await evidence.checkpoint() == head.plain + line
            checkpoint, by_whom = open_checkpoint(head.note, [LOG_VKEY, WITNESS_VKEY])
            assert (checkpoint.size, by_whom) == (evidence.size, (LOG_VKEY, WITNESS_VKEY))
        # The line of an older head is not shown with a newer one.
        await grow(evidence)
        assert (await evidence.signed_head()).lines == {}


async def test_a_process_that_starts_learns_from_the_witness_where_it_stands(tmp_path: Path) -> None:
    async with witness_at(tmp_path / "w") as url, world(tmp_path / "e.db") as evidence:
        await grow(evidence, 3)
        async with cosigner(evidence, url) as first:
            await first.offer(await plain(evidence))
        await grow(evidence, 2)
        async with cosigner(evidence, url) as second:
            assert await second.offer(await plain(evidence))


async def test_a_log_that_went_back_forked_or_was_rewritten_gets_no_co_signature(tmp_path: Path) -> None:
    async with witness_at(tmp_path / "w") as url:
        async with world(tmp_path / "e.db") as evidence, cosigner(evidence, url) as one:
            await grow(evidence, 5)
            await one.offer(await plain(evidence))
        # The same origin and key on a database that starts anew.
        async with world(tmp_path / "again.db") as evidence, cosigner(evidence, url) as one:
            await grow(evidence, 4)
            assert await refused(one, evidence) == "rolled_back"
            await grow(evidence)
            assert await refused(one, evidence) == "forked"
            await grow(evidence)
            assert await refused(one, evidence) == "inconsistent"
            assert (await evidence.signed_head()).lines == {}


def answering(status: int, body: bytes) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    app = web.Application()
    app.router.add_post("/add-checkpoint", answer)
    return app


OTHERS = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (500, b"", "refused"),
        (403, b"", "refused"),
        (200, b"", "malformed"),
        (200, b"\xff", "malformed"),
        (200, "— w AAAAAAAAAAAA\n".encode(), "unknown_key"),
        (200, cosign("another\n", WITNESS, WITNESS_KEY, 1).encode(), "malformed"),
        (409, b"many\n", "malformed"),
        (409, b"-1\n", "malformed"),
        (409, b"9" * 40, "malformed"),
        (409, b"99\n", "rolled_back"),
        (409, b"0\n", "busy"),
        (409, b"1\n", "busy"),
        (409, b"2\n", "forked"),
    ],
)
async def test_whatever_a_witness_answers_only_its_own_good_line_is_kept(
    status: int, body: bytes, code: str, tmp_path: Path
) -> None:
    async with (
        on_loopback(answering(status, body)) as url,
        world(tmp_path / "e.db") as evidence,
        cosigner(evidence, url) as one,
    ):
        await grow(evidence, 2)
        assert await refused(one, evidence) == code
        assert (await evidence.signed_head()).lines == {}


async def test_a_line_that_was_changed_in_the_file_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    async with world(path) as evidence:
        await grow(evidence)
        head = Checkpoint.parse(Note.parse(await plain(evidence)).text)
        line = cosign(head.text(), WITNESS, WITNESS_KEY, 7)
        other = Vkey.of("other.example", OTHERS, COSIGNATURE)
        for vkey, its in ((WITNESS_VKEY, line), (other, cosign(head.text(), "other.example", OTHERS, 8))):
            await evidence.submit(StoreCosignature(head, vkey, its))
        assert list((await evidence.signed_head()).lines) == sorted([WITNESS_VKEY.text(), other.text()])
        database = Database(path)
        for bad in (line[:-1], line * 2, "", "nonsense\n", cosign("x\n", WITNESS, WITNESS_KEY, 7)):
            with database.connect() as connection, connection.begin():
                row = log_cosignatures.c.witness == WITNESS_VKEY.text()
                connection.execute(update(log_cosignatures).where(row).values(line=bad))
                assert list(signed_head(connection).lines) == [other.text()]
        database.dispose()


def settings_with(folder: Path, witnesses: dict[str, str], vkeys: dict[str, Vkey] | None = None) -> Settings:
    return Settings(
        data=folder / "data",
        allow_connectors=[],
        allow_private=[url.removeprefix("http://") for url in witnesses.values()],
        witnesses={
            name: WitnessSetting(url=url, vkey=(vkeys or {}).get(name, WITNESS_VKEY).text())
            for name, url in witnesses.items()
        },
    )


async def log_vkey(settings: Settings) -> Vkey:
    async with open_services(settings) as services:
        return Vkey.parse(services.evidence.vkey)


async def test_a_running_gateway_offers_every_head_and_its_export_names_the_witness(tmp_path: Path) -> None:
    vkey = await log_vkey(settings_with(tmp_path, {}))
    async with witness_at(tmp_path / "w", vkey) as url:
        app = create_app(settings_with(tmp_path, {"w1": url}))
        async with on_loopback(app):
            evidence = app[SERVICES].evidence
            for _ in range(3):
                await grow(evidence)

                async def co_signed() -> bool:
                    return bool((await evidence.signed_head()).lines)

                await until(co_signed)
            await asyncio.to_thread(export, evidence.log_source(), tmp_path / "out")
        report = verify_export(tmp_path / "out", [vkey], None, [WITNESS_VKEY])
        assert report.ok
        assert [name for name, _ in report.cosigners] == [WITNESS_VKEY.label()]


async def test_no_answer_waits_for_a_witness_and_its_silence_is_told_until_it_is_back(tmp_path: Path) -> None:
    release, asked = asyncio.Event(), asyncio.Event()

    async def silent(request: web.Request) -> web.Response:
        asked.set()
        await release.wait()
        return web.Response(status=500)

    app = web.Application()
    app.router.add_post("/add-checkpoint", silent)
    async with on_loopback(app) as url:
        gateway = create_app(settings_with(tmp_path, {"w1": url}))
        async with on_loopback(gateway):
            evidence = gateway[SERVICES].evidence
            await grow(evidence)
            await asked.wait()
            size = evidence.size
            await grow(evidence, 5)
            assert evidence.size == size + 5, "committed and answered while the witness holds its reply back"
            with structlog.testing.capture_logs() as told:
                release.set()

                async def said() -> bool:
                    return bool(told)

                await until(said)
            assert told[0] == {
                "event": "witness_did_not_cosign",
                "where": "w1",
                "code": "refused",
                "log_level": "warning",
            }


async def test_only_a_witness_that_stays_ahead_is_an_alarm(tmp_path: Path) -> None:
    class Flaky(Cosigner):
        codes: list[Exception] = []  # noqa: RUF012 - one test fills it

        async def offer(self, note: str) -> str:
            if self.codes:
                raise self.codes.pop(0)
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async with world(tmp_path / "e.db") as evidence:
        one = Flaky("w1", "http://w", WITNESS_VKEY, evidence, AioTransport())
        behind = NotCosigned("rolled_back")
        Flaky.codes = [behind, UpstreamConnect(), behind, behind, StorageUnavailable(), behind]
        with structlog.testing.capture_logs() as told:
            task = asyncio.create_task(one.keep_offering())

            async def all_raised() -> bool:
                return not one.codes

            await until(all_raised)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await one._transport.close()
    assert [line["code"] for line in told] == [UpstreamConnect.code, "rolled_back", StorageUnavailable.code]


async def test_an_export_asks_the_witnesses_first_and_says_who_did_not_answer(tmp_path: Path) -> None:
    vkey = await log_vkey(settings_with(tmp_path, {}))
    async with witness_at(tmp_path / "w", vkey) as url, on_loopback(answering(500, b"")) as broken:
        settings = settings_with(tmp_path, {"w1": url, "w2": broken, "w3": "http://127.0.0.1:9"})
        async with open_services(settings) as services:
            await grow(services.evidence, 3)
            head, failed = await cosign_now(services)
            assert failed == {"w2": "refused", "w3": UpstreamConnect.code}
            await grow(services.evidence, 2)
            await asyncio.to_thread(export, services.evidence.log_source(head), tmp_path / "out")
        report = verify_export(tmp_path / "out", [vkey], None, [WITNESS_VKEY])
        assert (report.ok, report.intact) == (True, 3)


async def test_an_export_beside_a_running_gateway_takes_the_newer_head_when_the_witness_is_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vkey = await log_vkey(settings_with(tmp_path, {}))
    async with (
        witness_at(tmp_path / "w", vkey) as url,
        open_services(settings_with(tmp_path, {"w1": url})) as services,
    ):
        await grow(services.evidence, 3)
        old = await services.evidence.signed_head()
        await grow(services.evidence, 2)
        await cosign_now(services)
        answers = [old]
        newest = services.evidence.signed_head

        async def first_the_old(_: Any = None) -> Any:
            return answers.pop() if answers else await newest()

        monkeypatch.setattr(Evidence, "signed_head", first_the_old)
        head, failed = await cosign_now(services)
    assert failed == {}
    assert Checkpoint.parse(Note.parse(head.plain).text).size == 5


@pytest.mark.parametrize(
    ("url", "vkey"),
    [
        ("witness.example", WITNESS_VKEY.text()),
        ("ftp://witness.example", WITNESS_VKEY.text()),
        ("https://witness.example?x", WITNESS_VKEY.text()),
        ("https://witness.example", LOG_VKEY.text()),
        ("https://witness.example", "nonsense"),
    ],
)
def test_a_witness_of_the_settings_has_an_address_and_the_key_of_a_witness(url: str, vkey: str) -> None:
    assert WitnessSetting(url="https://witness.example/w", vkey=WITNESS_VKEY.text())
    with pytest.raises(ValidationError):
        WitnessSetting(url=url, vkey=vkey)


def test_the_export_command_tells_of_a_witness_that_did_not_sign_and_exports_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "xinqiao.toml"
    witness = f'[witnesses.w1]\nurl = "http://127.0.0.1:9"\nvkey = "{WITNESS_VKEY.text()}"\n'
    config.write_text(f'data = "{tmp_path / "data"}"\nallow_connectors = []\n{witness}')
    asyncio.run(log_vkey(settings_with(tmp_path, {})))
    monkeypatch.setattr(sys, "argv", ["xinqiao", "log", "export", str(tmp_path / "out"), "--config", str(config)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
    assert "witness did not co-sign: w1: upstream_" in capsys.readouterr().err
    assert verify_export(tmp_path / "out").ok
