"""The log's head and a time-stamping authority, which here is OpenSSL's: what it signs is verified, kept, served and
exported, `openssl ts -verify` accepts the export, and an authority that fails or lies changes nothing."""

import asyncio
import base64
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rfc3161_client as rfc3161
import structlog
from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import ValidationError

from connectors.transport import AioTransport
from consent.evidence import Evidence
from consent.log.note import Checkpoint, sign_checkpoint
from consent.log.tiles import MAX_STAMP, Stamp, export
from consent.log.verify import verify_export
from consent.reads import LogSource
from consent.storage import Database
from consent.tables import log_timestamps, metadata
from consent.timestamps import StoreTimestamp, TimedStamp, newest_timestamp
from gateway import stamping as module
from gateway.app import create_app
from gateway.cli.main import main
from gateway.services import SERVICES
from gateway.settings import Settings, Timestamps
from gateway.stamping import NotStamped, Stamper, authority, verified
from gateway.telemetry import Metrics
from schemas.errors import ConfigurationError, XinqiaoError
from tests.consent_world import LOG_KEY, ORIGIN, world
from tests.test_cosigning import grow, on_loopback, until

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
_POLICY = """
[tsa]
signer_cert = {0}/tsa.pem
signer_key = {0}/tsa.key
signer_digest = sha256
serial = {0}/serial
default_policy = 1.3.6.1.4.1.55555.1
digests = sha256, sha512
ess_cert_id_alg = sha256
"""


def _certificate(name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Of the authority itself where ``key`` is ``by``, else one that stamps."""
    root, now = key is by, datetime.now(UTC)
    usage = {
        used: used == ("key_cert_sign" if root else "digital_signature")
        for used in (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        )
    }
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Invented {name}")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Invented root")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=root, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
    )
    if not root:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
    return made.sign(by, hashes.SHA256())


class Tsa:
    """A time-stamping authority: a root, a certificate that stamps, and `openssl ts -reply`."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs the openssl command, which is the authority here")
        folder.mkdir()
        self.folder = folder
        root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = _certificate("root", root, root)
        self.pem = folder / "root.pem"
        self.pem.write_bytes(self.root.public_bytes(serialization.Encoding.PEM))
        signer = _certificate("authority", key, root)
        (folder / "tsa.pem").write_bytes(signer.public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / "tsa.key").write_bytes(key.private_bytes(*form))
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_POLICY.format(folder))

    def reply(self, query: bytes) -> bytes:
        (self.folder / "query").write_bytes(query)
        command = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-section", "tsa", "-queryfile", "query"]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True).stdout

    def verify(self, head: Path, reply: Path, *more: str) -> bool:
        command = ["openssl", "ts", "-verify", "-data", str(head), "-in", str(reply), "-CAfile", str(self.pem), *more]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Tsa:
    return Tsa(tmp_path_factory.mktemp("tsa") / "good")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Tsa:
    return Tsa(tmp_path_factory.mktemp("tsa") / "strange")


Answer = Callable[[bytes], Awaitable[tuple[int, bytes]] | tuple[int, bytes]]


def answering(answer: Answer) -> web.Application:
    async def handle(request: web.Request) -> web.Response:
        assert request.content_type == "application/timestamp-query"
        made = answer(await request.read())
        status, body = made if isinstance(made, tuple) else await made
        return web.Response(status=status, body=body, content_type="application/timestamp-reply")

    app = web.Application()
    app.router.add_post("/tsa", handle)
    return app


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def stamper(
    evidence: Evidence, answer: Answer, tsa: Tsa, clock: Callable[[], datetime] = now
) -> AsyncIterator[Stamper]:
    async with on_loopback(answering(answer)) as url:
        transport = AioTransport(allowed_private=[url.removeprefix("http://")], max_body=MAX_STAMP)
        try:
            yield Stamper(url + "/tsa", [tsa.root], evidence, transport, clock)
        finally:
            await transport.close()


async def head(evidence: Evidence) -> str:
    return (await evidence.signed_head()).plain


async def test_stamped_heads_leave_with_the_export_and_openssl_accepts_each(
    place: Path | str, tmp_path: Path, tsa: Tsa, stranger: Tsa
) -> None:
    async with (
        world(place) as evidence,
        stamper(evidence, lambda query: (200, tsa.reply(query)), tsa) as one,
    ):
        sizes = []
        for _ in range(2):
            await grow(evidence, 2)
            held = await one.stamp(await head(evidence))
            assert abs(datetime.fromisoformat(held.time) - now()) < timedelta(minutes=1)
            assert await evidence.read(newest_timestamp) == held
            sizes.append(held.stamp.size)
        await grow(evidence)
        await asyncio.to_thread(export, evidence.log_source(), tmp_path / "out")
    report = verify_export(tmp_path / "out")
    assert report.ok
    assert report.stamped == tuple(sizes)
    first, second = ((tmp_path / f"out/timestamp/{n}.checkpoint", tmp_path / f"out/timestamp/{n}.tsr") for n in sizes)
    assert tsa.verify(*first)
    assert tsa.verify(*second)
    assert not tsa.verify(first[0], second[1])
    assert not stranger.verify(*first)
    # Certificates end: the time of the stamp is what they are held against, and `-attime` says it.
    assert not tsa.verify(*first, "-attime", str(int((now() + 2 * DAY).timestamp())))
    assert tsa.verify(*first, "-attime", str(int(datetime.fromisoformat(held.time).timestamp())))
    # A stamped head is a head to remember.
    assert verify_export(tmp_path / "out", (), first[0].read_text()).ok


def asked(data: bytes, algorithm: rfc3161.HashAlgorithm = rfc3161.HashAlgorithm.SHA256) -> rfc3161.TimeStampRequest:
    return rfc3161.TimestampRequestBuilder().data(data).hash_algorithm(algorithm).build()


def test_a_reply_is_taken_only_as_the_answer_to_what_was_asked_of_whom(tsa: Tsa, stranger: Tsa) -> None:
    mine, again, other = asked(b"head"), asked(b"head"), asked(b"another head")
    reply = tsa.reply(mine.as_bytes())

    def code(body: bytes, query: rfc3161.TimeStampRequest = mine, at: datetime | None = None) -> str:
        with pytest.raises(NotStamped) as error:
            verified(body, query, b"head", [tsa.root], at or now())
        return error.value.code

    assert abs(verified(reply, mine, b"head", [tsa.root], now()) - now()) < timedelta(minutes=1)
    assert code(tsa.reply(again.as_bytes())) == "mismatched", "the same head, another nonce"
    assert code(tsa.reply(other.as_bytes()), other) == "untrusted", "asked over something else than the head"
    assert code(tsa.reply(other.as_bytes())) == "mismatched"
    wide = asked(b"head", rfc3161.HashAlgorithm.SHA512)
    assert code(tsa.reply(wide.as_bytes()), wide) == "mismatched"
    assert code(stranger.reply(mine.as_bytes())) == "untrusted"
    assert code(tsa.reply(b"no query")) == "refused"
    assert code(reply[:-1]) == code(b"") == code(b"<html>") == "malformed"
    for away in (timedelta(minutes=6), timedelta(minutes=-6)):
        assert code(reply, at=now() + away) == "clock"


def test_a_flipped_bit_makes_no_other_time_of_a_reply_and_breaks_nothing(tsa: Tsa) -> None:
    query = asked(b"head")
    reply = tsa.reply(query.as_bytes())
    time = verified(reply, query, b"head", [tsa.root], now())
    refused = 0
    for bit in range(0, 8 * len(reply), 5):
        bent = bytearray(reply)
        bent[bit // 8] ^= 1 << bit % 8
        try:
            assert verified(bytes(bent), query, b"head", [tsa.root], now()) == time
        except NotStamped:
            refused += 1
    assert refused > len(reply)


async def _late(query: bytes) -> tuple[int, bytes]:
    await asyncio.sleep(1)
    return 200, query


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda query: (500, b""), "refused"),
        (lambda query: (200, query), "malformed"),
        (lambda query: (200, bytes(MAX_STAMP + 1)), "upstream_oversize"),
        (_late, "upstream_timeout"),
    ],
    ids=["500", "no reply", "too large", "too late"],
)
async def test_whatever_else_an_authority_answers_nothing_is_kept(
    answer: Answer,
    code: str,
    tmp_path: Path,
    tsa: Tsa,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.2)
    async with world(tmp_path / "e.db") as evidence, stamper(evidence, answer, tsa) as one:
        await grow(evidence)
        with pytest.raises((NotStamped, XinqiaoError)) as raised:
            await one.stamp(await head(evidence))
        assert isinstance(raised.value, NotStamped | XinqiaoError)
        assert raised.value.code == code
        assert await evidence.read(newest_timestamp) is None


async def test_a_stamp_is_due_when_the_last_is_old_and_the_log_has_grown_since(place: Path | str, tsa: Tsa) -> None:
    moment = now()
    async with (
        world(place) as evidence,
        stamper(evidence, lambda query: (200, b""), tsa, lambda: moment) as one,
    ):
        assert evidence.size == 0
        assert await one.due(HOUR) is None, "an empty log proves nothing"
        await grow(evidence)
        first = await head(evidence)
        assert await one.due(HOUR) == first
        stamped = TimedStamp(Stamp(evidence.size, first, b"reply"), moment.isoformat(timespec="milliseconds"))
        await evidence.submit(StoreTimestamp(stamped))
        moment += 2 * HOUR
        assert await one.due(HOUR) is None, "no growth"
        await grow(evidence)
        assert await one.due(HOUR) == await head(evidence)
        moment -= HOUR + timedelta(minutes=1)
        assert await one.due(HOUR) is None, "too early"
        # Two processes that stamped one head: the first to come is kept.
        await evidence.submit(StoreTimestamp(TimedStamp(Stamp(stamped.stamp.size, first, b"late"), stamped.time)))
        assert await evidence.read(newest_timestamp) == stamped


@pytest.mark.parametrize(("ahead", "later"), [(1, timedelta(0)), (0, timedelta(days=400))])
async def test_a_row_of_a_head_or_a_time_to_come_does_not_end_the_stamping(
    tmp_path: Path, tsa: Tsa, ahead: int, later: timedelta
) -> None:
    moment = now()
    async with (
        world(tmp_path / "e.db") as evidence,
        stamper(evidence, lambda query: (200, b""), tsa, lambda: moment) as one,
    ):
        await grow(evidence)
        written = Stamp(evidence.size + 10**6 * ahead, "", b"")
        await evidence.submit(StoreTimestamp(TimedStamp(written, (moment + later).isoformat(timespec="milliseconds"))))
        await grow(evidence)
        assert await one.due(HOUR) == await head(evidence)


def test_every_stamp_up_to_the_exported_head_leaves_with_it(tmp_path: Path) -> None:
    (tmp_path / "e.db").touch()
    database = Database(tmp_path / "e.db")
    with database.connect() as connection, connection.begin():
        metadata.create_all(connection)
        rows = [{"size": n, "time": "", "head": f"head {n}", "reply": b"reply %d" % n} for n in range(1, 260)]
        connection.execute(log_timestamps.insert(), rows)
    source = LogSource(database.read, sign_checkpoint(Checkpoint(ORIGIN, 250, bytes(32)), ORIGIN, LOG_KEY), [])
    assert list(source.stamps()) == [Stamp(n, f"head {n}", b"reply %d" % n) for n in range(1, 251)]
    database.dispose()


def settings_with(folder: Path, url: str, certificates: Path) -> Settings:
    return Settings(
        data=folder / "data",
        allow_connectors=[],
        allow_private=[url.removeprefix("http://")],
        timestamps=Timestamps(url=url + "/tsa", certificates=certificates),
    )


def counted(metrics: Metrics, outcome: str) -> float | None:
    return metrics.registry.get_sample_value("xinqiao_log_timestamps_total", {"outcome": outcome})


async def test_a_gateway_asks_again_after_a_failure_that_nothing_waited_for_and_shows_the_newest_stamp(
    tmp_path: Path, tsa: Tsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    release, waiting = asyncio.Event(), asyncio.Event()

    async def first_fails(query: bytes) -> tuple[int, bytes]:
        if release.is_set():
            return 200, tsa.reply(query)
        waiting.set()
        await release.wait()
        return 503, b""

    async with on_loopback(answering(first_fails)) as url, ClientSession() as session:
        app = create_app(settings_with(tmp_path, url, tsa.pem))
        with structlog.testing.capture_logs() as told:
            async with on_loopback(app) as gateway:
                services = app[SERVICES]
                await grow(services.evidence)
                await waiting.wait()
                await grow(services.evidence, 3)
                async with session.get(gateway + "/v1/log/timestamp") as reply:
                    assert (reply.status, (await reply.json())["code"]) == (404, "not_found")
                size = services.evidence.size
                release.set()

                async def stamped() -> bool:
                    return counted(services.metrics, "stamped") is not None

                await until(stamped)
                async with session.get(gateway + "/v1/log/timestamp") as reply:
                    body = await reply.json()
    assert counted(services.metrics, "failed") == 1
    assert [line for line in told if line["event"] == "log_not_stamped"] == [
        {"event": "log_not_stamped", "code": "refused", "log_level": "warning"}
    ]
    assert body["size"] == size
    (tmp_path / "head").write_text(body["head"])
    (tmp_path / "reply").write_bytes(base64.b64decode(body["reply"], validate=True))
    assert tsa.verify(tmp_path / "head", tmp_path / "reply")


async def test_a_file_that_holds_no_certificate_or_a_missing_library_stops_the_start(
    tmp_path: Path, tsa: Tsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    for file in ("empty", "missing"):
        app = create_app(settings_with(tmp_path, "http://127.0.0.1:9", tmp_path / file))
        with pytest.raises(ConfigurationError, match="certificates"):
            await web.AppRunner(app).setup()
    monkeypatch.setattr(module, "rfc3161", None)
    with pytest.raises(ConfigurationError) as error:
        authority(Timestamps(url="http://tsa.example", certificates=tsa.pem))
    assert "extra `timestamps`" in str(error.value.details["mend"])


def test_config_check_names_a_file_that_holds_no_certificate(
    tmp_path: Path, tsa: Tsa, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "xinqiao.toml"
    monkeypatch.setattr(sys, "argv", ["xinqiao", "config", "check", "--config", str(config)])
    for file, status in ((tsa.pem, 0), (tmp_path / "missing", 2)):
        terms = f'timestamps = {{ url = "http://tsa.example", certificates = "{file}" }}'
        config.write_text(f"allow_connectors = []\n{terms}\n")
        with pytest.raises(SystemExit) as exit_:
            main()
        assert exit_.value.code == status
    assert "at=timestamps.certificates" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"url": "ftp://tsa.example"}, {"url": "tsa"}, {"every_minutes": 9}])
def test_settings_that_would_not_work_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Timestamps.model_validate({"url": "http://tsa.example", "certificates": "root.pem", **change})
