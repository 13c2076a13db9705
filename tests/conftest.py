"""What holds for every test, and the two kinds of database."""

import asyncio
import gc
import logging
import shutil
import sys
from collections.abc import Generator, Iterator
from datetime import date
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives.serialization import load_der_private_key
from typer.main import get_command

from benchmarks.postgres_server import PostgresServer
from connectors.manifest import load
from connectors.registry import BUILT_IN
from connectors.sandbox.bank import write_bank
from connectors.sandbox.world import World
from connectors.tls import default_ssl_context
from tests.faults.nursery import Nursery
from tests.faults.nursery import nursery as forking


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Half a million objects of modules and tests live until the end: the collector is not to look at them again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that a test ran configures logging to a stream that is closed with the test."""
    yield
    structlog.reset_defaults()
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if type(h).__module__.startswith(("_pytest", "pytest"))]


@pytest.fixture(scope="session", autouse=True)
def _made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is slow to make and the same in every test. Modules under test call by these names what tests of the same
    functions call by their own, so that those have the functions as they are."""
    kept = tmp_path_factory.mktemp("banks")
    secrets_of: dict[tuple[int, date], dict[str, str]] = {}

    def bank(world: World, folder: Path) -> dict[str, str]:
        """A copy of what the sandbox writes for its seed and day: a quarter of a second, thousands of rows."""
        key = world.seed, world.today()
        made = kept / f"{key[0]} {key[1]}"
        if key not in secrets_of:
            secrets_of[key] = write_bank(world, made)
        shutil.copytree(made, folder, dirs_exist_ok=True)
        return {name: text.replace(str(made), str(folder.resolve())) for name, text in secrets_of[key].items()}

    built_in = cache(load)

    @cache
    def installed(group: str, *path: str) -> EntryPoints:
        return entry_points(group=group)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("connectors.sandbox.server.write_bank", bank)
        # Whoever loads a private key of RSA proves its numbers prime first.
        for module in ("keys", "algorithms"):
            patch.setattr(f"connectors.signing.{module}.load_der_private_key", cache(load_der_private_key))
        # The system has a hundred and fifty authorities, all read for each transport.
        patch.setattr("connectors.transport.default_ssl_context", cache(default_ssl_context))
        # The catalogue in the tree is compiled for each gateway; folders elsewhere are what tests change.
        patch.setattr(
            "connectors.registry.load", lambda folder: (built_in if BUILT_IN in folder.parents else load)(folder)
        )
        # Where distributions are looked for is all that decides what is installed.
        patch.setattr("connectors.installed.entry_points", lambda group: installed(group, *sys.path))
        # The command's tree of parsers is built for each command line.
        patch.setattr("typer.main.get_command", cache(get_command))
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests that do not stop it."""
    server = PostgresServer()
    try:
        server.start()
        server.make_template()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> str:
    """The URL of a database of the test's own, with empty tables."""
    return asyncio.run(postgres_server.new_database())


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where the evidence is kept: a file that is not there yet, or a PostgreSQL database with empty tables."""
    if request.param == "sqlite":
        return tmp_path / "evidence.db"
    url: str = request.getfixturevalue("postgres")
    return url


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where gateway processes come from, for the tests that hurt them."""
    with forking() as held:
        yield held
