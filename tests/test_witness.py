"""The witness over HTTP and as a command: statuses and bodies as https://c2sp.org/tlog-witness has them."""

import asyncio
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from consent.log.note import Note, Vkey
from consent.log.witness import MAX_REQUEST, Folder, Witness
from gateway.cli.main import main
from gateway.witness import witness_app
from tests.log_export import COSIGNED_AT, ORIGIN, VKEY, WITNESS, WITNESS_KEY, WITNESS_VKEY
from tests.test_log_witness import FORK, LOG, grown, note_of, request_body

XINQIAO = str(Path(sys.executable).parent / "xinqiao")


class Broken(Folder):
    def write(self, origin: str, note: str) -> None:
        raise OSError


@asynccontextmanager
async def serving(folder: Folder) -> AsyncIterator[str]:
    judge = Witness(WITNESS, WITNESS_KEY, {ORIGIN: [VKEY]}, folder, lambda: COSIGNED_AT)
    runner = web.AppRunner(witness_app(judge))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/add-checkpoint"
    finally:
        await runner.cleanup()
        folder.close()


async def test_it_answers_with_a_line_a_size_or_a_reason(tmp_path: Path) -> None:
    async with serving(Folder(tmp_path)) as url, aiohttp.ClientSession() as session:

        async def offered(body: bytes) -> tuple[int, str, str]:
            async with session.post(url, data=body) as reply:
                return reply.status, reply.headers["Content-Type"], await reply.text()

        status, _, line = await offered(grown(LOG, 0, 8))
        assert status == 200
        assert Note.parse(note_of(LOG, 8) + line).cosigners([WITNESS_VKEY]) == ((WITNESS_VKEY, COSIGNED_AT),)
        assert await offered(grown(LOG, 4, 12)) == (409, "text/x.tlog.size", "8\n")
        assert await offered(request_body(8, (), note_of(FORK, 8))) == (409, "text/x.tlog.size", "8\n")
        assert (await offered(grown(FORK, 8, 12)))[0] == 422
        assert (await offered(grown(LOG, 0, 0).replace(b"log.", b"xog.")))[0] == 404
        assert (await offered(b"old 0"))[0] == 400
        assert (await offered(bytes(MAX_REQUEST + 1)))[0] == 413
        async with session.get(url) as reply:
            assert reply.status == 405


async def test_of_many_offers_at_once_from_one_size_one_is_co_signed(tmp_path: Path) -> None:
    async with serving(Folder(tmp_path)) as url, aiohttp.ClientSession() as session:

        async def status(size: int) -> int:
            async with session.post(url, data=grown(LOG, 0, size)) as reply:
                return reply.status

        found = await asyncio.gather(*map(status, range(1, 17)))
        assert sorted(found) == [200] + [409] * 15


async def test_without_storage_nothing_is_co_signed(tmp_path: Path) -> None:
    async with (
        serving(Broken(tmp_path)) as url,
        aiohttp.ClientSession() as session,
        session.post(url, data=grown(LOG, 0, 8)) as reply,
    ):
        assert (reply.status, "—" in await reply.text()) == (503, False)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    file = tmp_path / "logs"
    file.write_text(VKEY.text() + "\n")
    return file


class Running:
    """The command as a process: its key, and what it answers."""

    def __init__(self, folder: Path, logs: Path) -> None:
        command = [XINQIAO, "witness", str(folder), "--name", WITNESS, "--logs", str(logs), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.vkey = Vkey.parse(self.process.stdout.readline().decode().strip())
        match = re.search(r"http://\S+", self.process.stderr.readline().decode())
        assert match
        self.url = match[0]

    def offer(self, body: bytes) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{self.url}/add-checkpoint", body, timeout=30) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    def end(self, how: int) -> int:
        self.process.send_signal(how)
        self.process.communicate()
        return self.process.returncode


@pytest.fixture
def ended() -> Iterator[list[Running]]:
    started: list[Running] = []
    yield started
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_the_command_keeps_key_and_memory_through_a_kill_and_stops_when_told(
    tmp_path: Path, logs: Path, ended: list[Running]
) -> None:
    first = Running(tmp_path / "w", logs)
    ended.append(first)
    status, line = first.offer(grown(LOG, 0, 8))
    assert status == 200
    assert Note.parse(note_of(LOG, 8) + line).cosigners([first.vkey])
    first.end(signal.SIGKILL)
    second = Running(tmp_path / "w", logs)
    ended.append(second)
    assert second.vkey == first.vkey
    assert second.offer(request_body(8, (), note_of(FORK, 8))) == (409, "8\n")
    assert second.offer(grown(FORK, 8, 12))[0] == 422
    assert second.offer(grown(LOG, 8, 12))[0] == 200
    assert (tmp_path / "w/witness.pem").stat().st_mode & 0o777 == 0o600
    assert second.end(signal.SIGTERM) == 0


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    async def at_once() -> None:
        return None

    monkeypatch.setattr("gateway.cli.witness.until_stopped", at_once)
    monkeypatch.setattr(sys, "argv", ["xinqiao", "witness", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code if isinstance(exit_.value.code, int) else 1


def test_the_command_shows_its_key_on_standard_output_and_where_it_is_beside_it(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(monkeypatch, tmp_path / "w", "--name", WITNESS, "--logs", logs, "--port", 0) == 0
        told = capsys.readouterr()
        assert Vkey.parse(told.out.strip()).name == WITNESS
        assert "http://127.0.0.1:" in told.err


@pytest.mark.parametrize(
    ("keys", "name", "at"),
    [
        (WITNESS_VKEY.text() + "\n", WITNESS, "at=logs"),
        ("nonsense\n", WITNESS, "at=logs"),
        (VKEY.text() + "\n", "a name with spaces", "at=name"),
    ],
)
def test_wrong_keys_and_names_are_refused(
    keys: str,
    name: str,
    at: str,
    tmp_path: Path,
    logs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.write_text(keys)
    assert run(monkeypatch, tmp_path / "w", "--name", name, "--logs", logs) == 2
    assert at in capsys.readouterr().err


def test_a_folder_that_is_held_or_no_folder_and_an_address_that_is_taken_are_named(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ("--name", WITNESS, "--logs", logs)
    with closing(Folder(tmp_path / "w")):
        assert run(monkeypatch, tmp_path / "w", *rest) == 2
    assert "another witness holds this folder" in capsys.readouterr().err
    assert run(monkeypatch, logs, *rest) == 2
    assert "the folder cannot be written" in capsys.readouterr().err
    assert run(monkeypatch, tmp_path / "w", *rest, "--host", "192.0.2.1", "--port", 0) == 2
    assert "at=host, port" in capsys.readouterr().err
