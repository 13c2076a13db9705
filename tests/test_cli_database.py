"""``xinqiao db upgrade`` and the setting ``database``: what opens which database, and what refuses to."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.postgres_server import PostgresServer
from consent.profiles import RecordEvent
from gateway import migrations
from gateway.cli.main import main
from gateway.cli.shared import State
from gateway.services import open_services
from gateway.settings import Settings, load_settings
from schemas.errors import ConfigurationError

Run = Callable[..., tuple[int, str]]


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Settings of a gateway without connectors, whose database is empty."""
    lines = ["allow_connectors = []", f'data = "{tmp_path / "data"}"']
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        lines.append(f'database = "{asyncio.run(server.new_database(template="template0"))}"')
    path = tmp_path / "xinqiao.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def xinqiao(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path) -> Iterator[Run]:
    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["xinqiao", *map(str, arguments), "--config", str(config)])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return end.value.code if isinstance(end.value.code, int) else 0, told.out + told.err

    yield run
    State.config = State.data = None


async def one_more_entry(settings: Settings) -> int:
    async with open_services(settings) as services:
        entry = RecordEvent("log.read", "operator", None, None, {"first": 0, "last": 0})
        return await services.evidence.submit(entry)


def test_an_empty_database_is_upgraded_then_served_and_upgraded_again_without_a_change(
    xinqiao: Run, config: Path
) -> None:
    assert xinqiao("db", "upgrade") == (0, f"数据库 database: - -> {migrations.newest()}\n")
    assert asyncio.run(one_more_entry(load_settings(config))) == 0
    assert xinqiao("db", "upgrade") == (0, f"数据库 database: {migrations.newest()} -> {migrations.newest()}\n")
    assert asyncio.run(one_more_entry(load_settings(config))) == 1
    status, told = xinqiao("log", "verify")
    assert status == 0, told


def test_only_the_embedded_database_is_upgraded_by_whoever_opens_it(config: Path) -> None:
    settings = load_settings(config)
    if settings.database is None:
        assert asyncio.run(one_more_entry(settings)) == 0
    else:
        with pytest.raises(ConfigurationError, match="xinqiao db upgrade"):
            asyncio.run(one_more_entry(settings))


def test_a_database_that_cannot_be_reached_is_down(xinqiao: Run, config: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    text = config.read_text()
    if "database" in text:
        config.write_text('database = "postgresql://nobody@127.0.0.1:1/none"\n')
    status, told = xinqiao("db", "upgrade")
    assert status == 1
    assert "storage_unavailable" in told
    assert "nobody" not in told
