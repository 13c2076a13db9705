"""What holds for every test, and the two kinds of database."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from benchmarks.postgres_server import PostgresServer
from tests.faults.nursery import Nursery
from tests.faults.nursery import nursery as forking


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that a test ran configures logging to a stream that is closed with the test."""
    yield
    structlog.reset_defaults()
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if type(h).__module__.startswith(("_pytest", "pytest"))]


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
